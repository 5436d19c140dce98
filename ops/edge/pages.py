"""The one web page of the edge: forms for a reel and for a local video."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Telecine</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
label, button, video { display: block; width: 100%; margin: .5rem 0; }
input, textarea { width: 100%; box-sizing: border-box; }
input[type=checkbox] { width: auto; }
</style>
</head>
<body>
<h1>Telecine</h1>
<p>The calls are described at <a href="/docs">/docs</a>.</p>
<h2>Reel</h2>
<form data-url="/create-video">
<label>Image (JPEG, PNG) <input type="file" name="image" accept="image/jpeg,image/png" required></label>
<label>Audio (MP3, WAV, FLAC) <input type="file" name="audio" accept="audio/*" required></label>
<label>Lyrics <textarea name="lyrics" rows="4"></textarea></label>
<input type="hidden" name="alignment_mode" value="auto">
<button>Create</button>
</form>
<h2>Local video</h2>
<form data-url="/generate">
<label>Prompt <input name="prompt" required minlength="3" maxlength="1000"></label>
<label>Image, optional <input type="file" name="image" accept="image/jpeg,image/png"></label>
<label><input type="checkbox" name="lawful_use_consent" value="true" required> I use it lawfully</label>
<button>Create</button>
</form>
<p id="state" role="status"></p>
<video id="film" controls hidden></video>
<script>
const state = document.getElementById('state'), film = document.getElementById('film');
for (const form of document.forms) form.addEventListener('submit', async event => {
  event.preventDefault();
  state.textContent = 'Working …';
  const response = await fetch(form.dataset.url, {method: 'POST', body: new FormData(form)});
  const isFilm = (response.headers.get('content-type') || '').startsWith('video/');
  const answer = isFilm ? {video_url: URL.createObjectURL(await response.blob())} : await response.json();
  state.textContent = answer.video_url ? '' : answer.detail || answer.error;
  film.hidden = !answer.video_url;
  if (answer.video_url) film.src = answer.video_url;
});
</script>
</body>
</html>
"""
