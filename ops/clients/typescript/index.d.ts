// Written by ops/clients/generate.py from docs/contract. Change the models, then run it.

/** ``data`` of an ``audio-to-captions`` request. Names and defaults are those of a reel. */
export interface AudioToCaptions {
  /** MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB. */
  audio: string;
  /**
   * The spoken or sung text, one caption line per line. Of LRC and subtitles only the words are used. Optional
   * with auto and elevenlabs.
   */
  lyrics?: string | null;
  /**
   * A file with words and times: LRC, also with word times, SubRip, WebVTT, ASS, or words.json of an earlier
   * job, at most 4 MB. The captions show its words at its times. lyrics and alignment_mode are then not used,
   * and no model is called.
   */
  timing?: string | null;
  /** BCP 47 tag such as en, hi, ja. Default: detected. */
  language?: string | null;
  /**
   * How words are timed. auto: ElevenLabs aligns the lyrics with the audio; if that fails, its transcription is
   * used; without an ElevenLabs key, as local. elevenlabs: always the transcription, even if there are lyrics.
   * local: the worker aligns the lyrics, which needs the extra align; lines that are not sure are spread between
   * their neighbours. Lyrics that do not fit the audio are spread over the voice, as in auto without the extra.
   * even: every word gets an equal share of the time. Default "auto".
   */
  alignment_mode?: "auto" | "elevenlabs" | "even" | "local" | null;
  /** Words shown together. 1 to 50; default 3. */
  words_per_group?: number | null;
  /** Seconds added to every caption. -3600 to 3600; default 0.0. */
  timing_offset?: number | null;
  /** Shortest time in seconds that a caption is shown, unless the next one starts earlier. 0 to 60; default 1.0. */
  min_duration?: number | null;
}

/** Where to send callbacks, and for which events. */
export interface CallbackSpec {
  /** Receiver of the callbacks. Optional in format game, which defaults to the API in the settings. */
  url?: string | null;
  /** Default ["completed", "failed"]. */
  events?: Array<"started" | "progress" | "completed" | "failed"> | null;
  /** standard: signed as in Standard Webhooks. game: the body of the G.A.M.E. API. Default "standard". */
  format?: "standard" | "game" | null;
  /** One of the configured signing secrets. */
  secret_name?: string | null;
}

/** What requests of all types have in common. */
export interface Envelope {
  id: string;
  output?: string | null;
  callback?: CallbackSpec | null;
  /** Default "normal". */
  priority?: "high" | "normal" | "low" | null;
  /** Seconds from receipt, or an RFC 3339 time with its zone. More than 0, at most 31536000. */
  deadline?: number | string | null;
  /**
   * The job does not start earlier. Seconds from receipt, or an RFC 3339 time with its zone. More than 0, at
   * most 31536000.
   */
  not_before?: number | string | null;
  tenant?: string | null;
  /** Default false. */
  plan_only?: boolean | null;
  metadata?: Record<string, unknown> | null;
  traceparent?: string | null;
  tracestate?: string | null;
  specversion?: "1.0" | null;
  source?: string | null;
  subject?: string | null;
  time?: string | null;
  datacontenttype?: string | null;
  dataschema?: string | null;
}

/** One request of type audio-to-captions, as sent to the queue. */
export interface AudioToCaptionsRequest extends Envelope {
  type: "audio-to-captions";
  data: AudioToCaptions;
}

/** ``data`` of an ``audio-to-video`` request. Field names are those of the Cococlip service. */
export interface AudioToVideo {
  /** The portrait: JPEG, PNG or WebP, at most 50 MB. */
  image: string;
  /** The voice: MP3 or WAV, at most 50 MB. */
  audio: string;
  /** How the portrait moves; may be empty. */
  prompt?: string | null;
  /** A model for audio-to-video, or several in order of preference. Default "Infinitetalk". */
  model?: string | Array<string> | null;
  /** Such as 720p. Default: the model's. */
  resolution?: string | null;
  /** Seconds. Default: measured from the file. More than 0, at most 14400. */
  audio_duration?: number | null;
  /** Further parameters of the model. `telecine models` prints their names. */
  parameters?: Record<string, string | number | boolean | null> | null;
}

/** One request of type audio-to-video, as sent to the queue. */
export interface AudioToVideoRequest extends Envelope {
  type: "audio-to-video";
  data: AudioToVideo;
}

/** ``data`` of an ``image-to-prompt`` request. */
export interface ImageToPrompt {
  /** JPEG, PNG or WebP, at most 50 MB. */
  image: string;
  /** How thorough the description is. Default: the model's; for clip-interrogator, best. */
  mode?: "best" | "fast" | "classic" | "negative" | null;
  /** A model for image-to-prompt, or several in order of preference. Default "clip-interrogator". */
  model?: string | Array<string> | null;
  /** Further parameters of the model. `telecine models` prints their names. */
  parameters?: Record<string, string | number | boolean | null> | null;
}

/** One request of type image-to-prompt, as sent to the queue. */
export interface ImageToPromptRequest extends Envelope {
  type: "image-to-prompt";
  data: ImageToPrompt;
}

/** ``data`` of an ``image-to-video`` request. Field names are those of the I2V and Cococlip services. */
export interface ImageToVideo {
  /** JPEG, PNG or WebP, at most 50 MB. */
  image?: string | null;
  /** How the image moves. Default: generated from the image, if a model is pika or a local one. */
  prompt?: string | null;
  /** A model for image-to-video, or several in order of preference. Default "pika". */
  model?: string | Array<string> | null;
  /** Seconds; which values are valid depends on the model. Default: the model's. More than 0, at most 3600. */
  duration?: number | null;
  /** Such as 720p. Default: the model's. */
  resolution?: string | null;
  /** Such as 16:9. Default: the model's. */
  aspect_ratio?: string | null;
  /** What must not be visible. */
  negative_prompt?: string | null;
  /** For models that support one. 0 to 9007199254740991. */
  seed?: number | null;
  /** Frames a second, of local models. Default: 24. 1 to 60. */
  fps?: number | null;
  /** Frames, of local models. Default: 64. 8 to 240. */
  num_frames?: number | null;
  /** Pixels, of local models. Default: 720. 256 to 1920. */
  width?: number | null;
  /** Pixels, of local models. Default: 720. 256 to 1080. */
  height?: number | null;
  /** The backend that the model auto tries first. Empty: the best. */
  prefer_backend?: string | null;
  /** Keep a local model's weights in main memory: less GPU memory, slower. */
  low_vram?: boolean | null;
  /** Must be true for local models: you confirm lawful use. */
  lawful_use_consent?: boolean | null;
  /** Further parameters of the model. `telecine models` prints their names. */
  parameters?: Record<string, string | number | boolean | null> | null;
  /** Alias of `image` from the I2V service. HTML entities in it are decoded. */
  image_id?: string | null;
}

/** One request of type image-to-video, as sent to the queue. */
export interface ImageToVideoRequest extends Envelope {
  type: "image-to-video";
  data: ImageToVideo;
}

/** A further image of a reel, and when it replaces the one before it. */
export interface TimedImage {
  /** As image. */
  image: string;
  /** Seconds from the start of the reel at which it appears. More than 0, at most 14400. */
  at: number;
}

/** ``data`` of a ``reel`` request. Names and defaults are those of the Reel Creator. */
export interface Reel {
  /** JPEG, PNG, WebP, AVIF or HEIC, at most 100 MB. */
  image: string;
  /** MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB; its length is the reel's. */
  audio: string;
  /** Where the reel begins in the song, in seconds. Captions before it are left out. 0 to 14400; default 0.0. */
  start?: number | null;
  /**
   * Where the reel ends in the song, in seconds. Captions after it are left out. Default: its end. More than 0,
   * at most 14400.
   */
  end?: number | null;
  /**
   * Seconds over which the sound fades out at the end, and fades in if start is more than 0. 0 to 30; default
   * 0.0.
   */
  fade?: number | null;
  /**
   * Integrated loudness in LUFS, such as -14, with peaks of at most -1 dBTP. Default: as in the file. -30 to
   * -12.
   */
  loudness?: number | null;
  /**
   * One caption line per line; a literal backslash-n counts as a line break. Of LRC and subtitles only the words
   * are used. Optional with auto and elevenlabs, which then show the transcription.
   */
  lyrics?: string | null;
  /**
   * A file with words and times: LRC, also with word times, SubRip, WebVTT, ASS, or words.json of an earlier
   * job, at most 4 MB. The captions show its words at its times. lyrics and alignment_mode are then not used,
   * and no model is called.
   */
  timing?: string | null;
  /** BCP 47 tag such as en, hi, ja. It selects the font for characters that several scripts share. */
  language?: string | null;
  /**
   * How captions look. classic: yellow letters with an outline. bold: large white capitals. minimal: white
   * letters with a soft shadow. box: white letters on a dark plate, the word that is sung on a yellow one.
   * karaoke: the word that is sung is yellow, and those to come are grey. pop: bold, and the word that is sung
   * is larger. Default "classic".
   */
  style?: "classic" | "bold" | "minimal" | "box" | "karaoke" | "pop" | null;
  /**
   * sans: Noto Sans. serif: Source Serif. rounded: Fredoka. condensed: Fjalla. Scripts that a font does not have
   * are drawn in Noto Sans. Default: as the style, which is sans.
   */
  font?: "sans" | "serif" | "rounded" | "condensed" | null;
  /**
   * Em size in pixels at a width of 1080 pixels. Other styles: 84 (bold), 60 (minimal), 58 (box), 72 (karaoke),
   * 80 (pop). 8 to 400; default 45.
   */
  font_size?: number | null;
  /**
   * CSS name, #RRGGBB, or #RRGGBBAA: the opacity of the captions. Other styles: white (bold), white (minimal),
   * white (box), white (karaoke), white (pop). Default "yellow".
   */
  font_color?: string | null;
  /**
   * Colour of the word that is sung. Default: as the style; with classic, bold and minimal all words look alike
   * unless it is given.
   */
  highlight_color?: string | null;
  /** Whether captions are in capital letters. Default: as the style. */
  upper_case?: boolean | null;
  /** Width of the outline around letters, as a share of font_size. Default: as the style. 0 to 0.25. */
  outline?: number | null;
  /** Words and phrases of the captions that have emphasis_color, in capital or small letters. */
  emphasis?: Array<string> | null;
  /** Colour of the words in emphasis. Default: #5ce1ff. */
  emphasis_color?: string | null;
  /** Whether the next caption is shown below, smaller and dimmed. Default false. */
  next_line?: boolean | null;
  /**
   * Whether three dots count down to a caption after a break of 5 s or more. Default: as the style, which is
   * true with karaoke only.
   */
  countdown?: boolean | null;
  /** Whether a thin line shows how much of the reel is over. Default false. */
  progress_line?: boolean | null;
  /** Where captions are. auto: below a picture that is shown whole, otherwise as bottom. Default "auto". */
  position?: "auto" | "top" | "middle" | "bottom" | null;
  /** The platforms whose buttons and texts do not cover the captions of a portrait video. Default "all". */
  safe_area?: "all" | "instagram" | "tiktok" | "shorts" | "none" | null;
  /**
   * cover: the image fills the frame, and is cut. contain: it is shown whole, over a blurred copy. auto: cover
   * if at most 20 % of the image is cut off. Default "auto".
   */
  fit?: "auto" | "cover" | "contain" | null;
  /** Words shown together. 1 to 50; default 3. */
  words_per_group?: number | null;
  /** Seconds added to every caption. -3600 to 3600; default 0.0. */
  timing_offset?: number | null;
  /** Shortest time in seconds that a caption is shown, unless the next one starts earlier. 0 to 60; default 1.0. */
  min_duration?: number | null;
  /**
   * How words are timed. auto: ElevenLabs aligns the lyrics with the audio; if that fails, its transcription is
   * used; without an ElevenLabs key, as local. elevenlabs: always the transcription, even if there are lyrics.
   * local: the worker aligns the lyrics, which needs the extra align; lines that are not sure are spread between
   * their neighbours. Lyrics that do not fit the audio are spread over the voice, as in auto without the extra.
   * even: every word gets an equal share of the time. Default "auto".
   */
  alignment_mode?: "auto" | "elevenlabs" | "even" | "local" | null;
  /** Prefix each caption with its start time, as in [2.5s]. Default false. */
  debug_mode?: boolean | null;
  /** Where the reel is rendered. auto: on this worker, or on RunPod if memory here is too small. Default "auto". */
  renderer?: "auto" | "local" | "runpod" | null;
  /** Pixels, even. 128 to 3840; default 1080. */
  width?: number | null;
  /** Pixels, even. 128 to 3840; default 1920. */
  height?: number | null;
  /** Seconds from the start of the reel at which cover.jpg is taken. Default: the first caption. 0 to 14400. */
  cover_at?: number | null;
  /**
   * Further images, at most 50, in order: each has image, as above, and at, the second of the reel at which it
   * replaces the image before it.
   */
  images?: Array<TimedImage> | null;
  /** Seconds that an image takes to replace the one before it. 0: it appears at once. 0 to 10; default 1.0. */
  crossfade?: number | null;
  /** kenburns: the image slowly moves and grows. Rendering then takes 30 to 40 times as long. Default "none". */
  motion?: "none" | "kenburns" | null;
  /** A line at the upper end of the safe area, on the whole reel. */
  title?: string | null;
  /** A smaller line below the title. */
  artist?: string | null;
  /**
   * An image in a corner of the safe area, such as a logo as PNG with transparency. It is reduced to at most 26
   * % of the frame's shorter side in width and 10 % in height.
   */
  watermark?: string | null;
  /** The corner of the safe area in which the watermark is. Default "bottom-right". */
  watermark_position?: "top-left" | "top-right" | "bottom-left" | "bottom-right" | null;
  /**
   * Bars at the lower end of the safe area that move with the sound, low notes in the middle. Rendering then
   * takes 10 to 20 times as long. Default false.
   */
  waveform?: boolean | null;
}

/** One request of type reel, as sent to the queue. */
export interface ReelRequest extends Envelope {
  type: "reel";
  data: Reel;
}

/** ``data`` of a ``story-to-video`` request. Field names are those of the Image and Video Generation API. */
export interface StoryToVideo {
  /** Descriptions of the scenes, in order; at least 2. */
  scenes: Array<string>;
  /** The character in every scene; put before each scene, with a comma. */
  hero_description?: string | null;
  /** Denoising steps for each image, 10 to 50. 10 to 50; default 25. */
  num_inference_steps?: number | null;
  /** Seconds that each scene is shown. More than 0, at most 60; default 3.0. */
  duration_per_scene?: number | null;
  /** Frames per second. 1 to 60; default 24. */
  fps?: number | null;
  /** Pixels, a multiple of 8. 32 to 2048; default 512. */
  width?: number | null;
  /** Pixels, a multiple of 8. 32 to 2048; default 512. */
  height?: number | null;
  /** Frames of each crossfade, in addition to those of the scenes. 0 to 240; default 12. */
  transition_frames?: number | null;
  /** A model for story-to-video. Default "segmind/tiny-sd". */
  model?: string | Array<string> | null;
  /** Seed of the first scene; each later scene uses the next number. 0 to 9007199254740991. */
  seed?: number | null;
  /** What must not be visible. */
  negative_prompt?: string | null;
  /**
   * How the hero is kept the same in all scenes. prompt: the same words before each scene. shared-attention: in
   * addition, scenes generated together attend to each other. reference: every scene is conditioned on an image
   * of the hero; only for models with an adapter. Default "prompt".
   */
  consistency?: "prompt" | "shared-attention" | "reference" | null;
  /**
   * Image of the hero for consistency reference: JPEG or PNG, at most 50 MB. Default: generated from
   * hero_description first.
   */
  hero_image?: string | null;
  /**
   * Sound under the video: MP3, WAV, FLAC, M4A, AAC, OGG, Opus or AIFF, at most 100 MB. It is cut to the length
   * of the video, and then fades out in the last second. Default: the video is silent.
   */
  audio?: string | null;
}

/** One request of type story-to-video, as sent to the queue. */
export interface StoryToVideoRequest extends Envelope {
  type: "story-to-video";
  data: StoryToVideo;
}

/** ``data`` of a ``text-to-image`` request. Field names are those of the Image and Video Generation API. */
export interface TextToImage {
  /** What the image shows. */
  prompt: string;
  /** Denoising steps, 10 to 50. Default: 25. 10 to 50. */
  num_inference_steps?: number | null;
  /** Include the image in the callback, if it has at most 1 MiB. Default false. */
  return_base64?: boolean | null;
  /** A model for text-to-image, or several in order of preference. Default "segmind/tiny-sd". */
  model?: string | Array<string> | null;
  /** Pixels, a multiple of 8. Default: the model's. 32 to 2048. */
  width?: number | null;
  /** Pixels, a multiple of 8. Default: the model's. 32 to 2048. */
  height?: number | null;
  /** What must not be visible. */
  negative_prompt?: string | null;
  /** The same seed gives the same image. Default: chosen per job. 0 to 9007199254740991. */
  seed?: number | null;
  /** Further parameters of the model. `telecine models` prints their names. */
  parameters?: Record<string, string | number | boolean | null> | null;
}

/** One request of type text-to-image, as sent to the queue. */
export interface TextToImageRequest extends Envelope {
  type: "text-to-image";
  data: TextToImage;
}

/** ``data`` of a ``text-to-video`` request. Field names are those of the Cococlip and Imagine.art services. */
export interface TextToVideo {
  /** What the video shows; most models accept 1,000 characters. */
  prompt: string;
  /** A model for text-to-video, or several in order of preference. */
  model: string | Array<string>;
  /** Seconds; which values are valid depends on the model. Default: the model's. More than 0, at most 3600. */
  duration?: number | null;
  /** Such as 720p. Default: the model's. */
  resolution?: string | null;
  /** Such as 16:9. Default: the model's. */
  aspect_ratio?: string | null;
  /** Style of imagine-text-to-video. 0 to 2147483647. */
  style_id?: number | null;
  /** Whether imagine-text-to-video improves the prompt. */
  is_enhance?: boolean | null;
  /** What must not be visible. */
  negative_prompt?: string | null;
  /** For models that support one. 0 to 9007199254740991. */
  seed?: number | null;
  /** Frames a second, of local models. Default: 24. 1 to 60. */
  fps?: number | null;
  /** Frames, of local models. Default: 64. 8 to 240. */
  num_frames?: number | null;
  /** Pixels, of local models. Default: 720. 256 to 1920. */
  width?: number | null;
  /** Pixels, of local models. Default: 720. 256 to 1080. */
  height?: number | null;
  /** The backend that the model auto tries first. Empty: the best. */
  prefer_backend?: string | null;
  /** Keep a local model's weights in main memory: less GPU memory, slower. */
  low_vram?: boolean | null;
  /** Must be true for local models: you confirm lawful use. */
  lawful_use_consent?: boolean | null;
  /** Further parameters of the model. `telecine models` prints their names. */
  parameters?: Record<string, string | number | boolean | null> | null;
}

/** One request of type text-to-video, as sent to the queue. */
export interface TextToVideoRequest extends Envelope {
  type: "text-to-video";
  data: TextToVideo;
}

/** ``data`` of the control message ``job.cancel``. */
export interface Cancel {
  id: string;
}

/** A control message: cancels the job with this id. */
export interface JobCancel {
  type: "job.cancel";
  data: Cancel;
}

export interface GameCallbackDataOutput {
  title: string;
  type: "MEDIA";
  category: "MARKETING_VIDEO";
  /** Presigned URL; keep it secret until it expires. */
  url: string;
}

export interface GameCallbackData {
  /** Whether there is an output. */
  addToInventory: boolean;
  status: "COMPLETED" | "FAILED";
  output: GameCallbackDataOutput | null;
}

/** One POST to `{url}/{id}/callback` with the header `x-api-key`. It is not signed. */
export interface GameCallback {
  data: GameCallbackData;
}

/** Properties of a media file, as measured by a probe. Fields that do not apply are ``None``. */
export interface MediaFacts {
  width?: number | null;
  height?: number | null;
  duration_seconds?: number | null;
  fps?: number | null;
  frames?: number | null;
  video_codec?: string | null;
  audio_codec?: string | null;
}

/** One file of the result, with its size and checksum. */
export interface ManifestArtifact {
  name: string;
  uri: string;
  bytes: number;
  sha256: string;
  content_type: string;
  facts: MediaFacts;
}

/** One step of the job and the time it took. */
export interface ManifestStep {
  name: string;
  seconds: number;
}

/** What the job cost. The amount is absent if the price of a call is unknown. */
export interface Cost {
  /** Default "0.00". */
  amount?: string | null;
  /** Default "USD". */
  currency?: string;
}

/** The complete result. It is written last: if it exists, every file that it names exists. */
export interface Manifest {
  /** Default 1. */
  version?: number;
  job_id: string;
  type: string;
  /** SHA-256 of the request's canonical JSON. */
  fingerprint: string;
  artifacts: Array<ManifestArtifact>;
  /** Default "local". */
  provider?: string;
  model: string;
  model_version: string;
  seed?: number | null;
  prompt?: string | null;
  steps: Array<ManifestStep>;
  /** Default {"amount": "0.00", "currency": "USD"}. */
  cost?: Cost;
  details?: Record<string, unknown>;
  completed_at: string;
}

/** One file of a job's result. */
export interface Output {
  name: string;
  uri: string;
  /** Presigned download URL. Treat it as a secret until it expires. */
  url?: string | null;
  sha256: string;
  bytes: number;
  content_type: string;
  /** The file's content, if the request asked for it and the file is small. */
  base64?: string | null;
  /** Why `base64` is absent although the request asked for it. */
  base64_omitted?: string | null;
  width?: number | null;
  height?: number | null;
  duration_seconds?: number | null;
  fps?: number | null;
  frames?: number | null;
}

/** What is wrong with one field of a refused request. */
export interface FieldFailure {
  path: string;
  message: string;
}

/** Why a job did not complete. */
export interface Failure {
  code: string;
  message: string;
  retryable: boolean;
  step?: string | null;
  field?: string | null;
  /** All invalid fields of a refused request, at most ten, if there are several. */
  fields?: Array<FieldFailure> | null;
}

/** The current state of the job. */
export interface JobStartedData {
  id: string;
  type: string;
  status: "running";
  /** 0 to 100; default 0. */
  progress_percentage?: number;
  outputs?: Array<Output> | null;
  plan?: Record<string, unknown> | null;
  error?: Failure | null;
  provider?: string | null;
  model?: string | null;
  cost?: Cost | null;
  created_at: string;
  started_at?: string | null;
  processing_time_seconds?: number | null;
  metadata?: Record<string, unknown> | null;
  /** How often the job was retried; absent for its first run. At least 1. */
  retry?: number | null;
}

/** A worker claimed the job for the first time. */
export interface JobStarted {
  type: "job.started";
  timestamp: string;
  data: JobStartedData;
}

/** The current state of the job. */
export interface JobProgressData {
  id: string;
  type: string;
  status: "running";
  /** 0 to 100; default 0. */
  progress_percentage?: number;
  outputs?: Array<Output> | null;
  plan?: Record<string, unknown> | null;
  error?: Failure | null;
  provider?: string | null;
  model?: string | null;
  cost?: Cost | null;
  created_at: string;
  started_at?: string | null;
  processing_time_seconds?: number | null;
  metadata?: Record<string, unknown> | null;
  /** How often the job was retried; absent for its first run. At least 1. */
  retry?: number | null;
}

/** The progress passed another multiple of ten. Delivery is attempted once and not retried. */
export interface JobProgress {
  type: "job.progress";
  timestamp: string;
  data: JobProgressData;
}

/** The current state of the job. */
export interface JobCompletedData {
  id: string;
  type: string;
  status: "completed";
  /** 0 to 100; default 0. */
  progress_percentage?: number;
  outputs?: Array<Output> | null;
  plan?: Record<string, unknown> | null;
  error?: Failure | null;
  provider?: string | null;
  model?: string | null;
  cost?: Cost | null;
  created_at: string;
  started_at?: string | null;
  processing_time_seconds?: number | null;
  metadata?: Record<string, unknown> | null;
  /** How often the job was retried; absent for its first run. At least 1. */
  retry?: number | null;
}

/** Every file and the manifest are in storage; for `plan_only`, the estimate is complete. */
export interface JobCompleted {
  type: "job.completed";
  timestamp: string;
  data: JobCompletedData;
}

/** The current state of the job. */
export interface JobFailedData {
  /** Absent if the request was not accepted and had no readable id. */
  id?: string | null;
  type?: string | null;
  status: "failed" | "cancelled" | "expired";
  /** 0 to 100; default 0. */
  progress_percentage?: number;
  outputs?: Array<Output> | null;
  plan?: Record<string, unknown> | null;
  error: Failure;
  provider?: string | null;
  model?: string | null;
  cost?: Cost | null;
  created_at: string;
  started_at?: string | null;
  processing_time_seconds?: number | null;
  metadata?: Record<string, unknown> | null;
  /** How often the job was retried; absent for its first run. At least 1. */
  retry?: number | null;
}

/** The job failed, expired or was cancelled, or its request was refused and never became a job. */
export interface JobFailed {
  type: "job.failed";
  timestamp: string;
  data: JobFailedData;
}

export type Request =
  | AudioToCaptionsRequest
  | AudioToVideoRequest
  | ImageToPromptRequest
  | ImageToVideoRequest
  | ReelRequest
  | StoryToVideoRequest
  | TextToImageRequest
  | TextToVideoRequest;

export type Callback =
  | JobStarted
  | JobProgress
  | JobCompleted
  | JobFailed;
