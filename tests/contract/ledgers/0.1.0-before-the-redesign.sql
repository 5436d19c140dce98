-- A ledger that version 699893b wrote (SQLite, migration 0004), with jobs at every stage: sqlite3's dump.
BEGIN TRANSACTION;
CREATE TABLE accounts (
	provider VARCHAR(32) NOT NULL, 
	tokens DOUBLE NOT NULL, 
	tokens_at DOUBLE NOT NULL, 
	breaker VARCHAR(8) NOT NULL, 
	failures INTEGER NOT NULL, 
	open_until DOUBLE NOT NULL, 
	paused_until DOUBLE NOT NULL, 
	last_error VARCHAR(255), 
	CONSTRAINT pk_accounts PRIMARY KEY (provider)
);
INSERT INTO "accounts" VALUES('*',0.0,0.0,'closed',0,0.0,0.0,NULL);
INSERT INTO "accounts" VALUES('alpha',8.09297871589660644531e+00,1.79601781504899859426e+09,'closed',0,0.0,0.0,NULL);
INSERT INTO "accounts" VALUES('beta',7.06598234176635742187e+00,1.7960178151999936104e+09,'closed',0,0.0,0.0,'the connection broke');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE calls (
	id VARCHAR(32) NOT NULL, 
	job_id VARCHAR(128) NOT NULL, 
	step VARCHAR(64) NOT NULL, 
	attempt INTEGER NOT NULL, 
	provider VARCHAR(32) NOT NULL, 
	model VARCHAR(128) NOT NULL, 
	tenant VARCHAR(64) NOT NULL, 
	urgency INTEGER NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	request TEXT NOT NULL, 
	task TEXT, 
	due_at DOUBLE, 
	lease_until DOUBLE, 
	lease_owner VARCHAR(255), 
	epoch INTEGER NOT NULL, 
	queued_at DOUBLE NOT NULL, 
	submitted_at DOUBLE, 
	finished_at DOUBLE, 
	give_up_at DOUBLE, 
	polls INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	cancel_requested BOOLEAN NOT NULL, 
	reserved BIGINT NOT NULL, 
	spent BIGINT NOT NULL, 
	result TEXT, 
	error TEXT, 
	CONSTRAINT pk_calls PRIMARY KEY (id)
);
INSERT INTO "calls" VALUES('5d705e54904453a0b0920289f98c3b86','delivered','think',1,'alpha','first','',1,'done','{"candidates": [{"model": "first", "provider": "alpha", "parameters": {"length": 3}}, {"model": "second", "provider": "beta", "parameters": {"length": 3}}], "losers": [], "inputs": {}, "wanted": null, "output": "s3://results/delivered/", "fingerprint": "16cbc371b5b6c65d83625913177d7dbdb4ceab847a4cf908601f88d793b63c82", "seconds": null, "type": "ask"}','{"id": "task-1", "extra": {}}',NULL,NULL,NULL,3,1.79601781493300652501e+09,1.79601781495601987839e+09,1.79601781502900266647e+09,1.79601961495601987841e+09,1,0,0,0,100000,'{"model": "first", "provider": "alpha", "artifact": null, "value": "made by first", "details": {}}',NULL);
INSERT INTO "calls" VALUES('c2a142e0fa875de3b067aaac8d7568d1','in-flight','think',1,'alpha','first','',1,'working','{"candidates": [{"model": "first", "provider": "alpha", "parameters": {"length": 5}}], "losers": [], "inputs": {}, "wanted": null, "output": "s3://results/in-flight/", "fingerprint": "24695e7cc9d561a4de73aa4b0ae0b2cf2d281c1fc26b50191652d41a1417b74a", "seconds": null, "type": "ask"}','{"id": "task-2", "extra": {}}',1.79601781521403265e+09,NULL,NULL,4,1.79601781504598116872e+09,1.79601781504899859426e+09,NULL,1.79601961504899859428e+09,3,0,0,100000,0,NULL,NULL);
INSERT INTO "calls" VALUES('ef36cc525c8b534986356ee181eee8a8','unknown','think',1,'beta','second','',1,'unknown','{"candidates": [{"model": "second", "provider": "beta", "parameters": {"length": 5}}], "losers": [], "inputs": {}, "wanted": null, "output": "s3://results/unknown/", "fingerprint": "16a0b6813d1e747482145e00a6716ca12e50d40d4d29c289c8494660dc52e3c5", "seconds": null, "type": "ask"}',NULL,1.79601782513799428943e+09,NULL,NULL,1,1.79601781512499904637e+09,1.79601781513401126868e+09,NULL,NULL,0,0,0,100000,0,NULL,NULL);
INSERT INTO "calls" VALUES('b9443f5a583a58299517b8893a525cd0','stepped','think',1,'beta','second','',1,'done','{"candidates": [{"model": "second", "provider": "beta", "parameters": {"length": 5}}], "losers": [], "inputs": {}, "wanted": null, "output": "s3://results/stepped/", "fingerprint": "718326d133583ae628686e298f1201e084ad53b0be2dc4f88112bf7a534e1b43", "seconds": null, "type": "ask"}','{"id": "task-2", "extra": {}}',NULL,NULL,NULL,2,1.79601781515501284598e+09,1.79601781515799021715e+09,1.79601781516499066351e+09,1.79601961515799021717e+09,0,0,0,0,100000,'{"model": "second", "provider": "beta", "artifact": null, "value": "made by second", "details": {}}',NULL);
INSERT INTO "calls" VALUES('04ee314370c6552e9adfbc9fe2677dfe','completed','think',1,'beta','second','',1,'done','{"candidates": [{"model": "second", "provider": "beta", "parameters": {"length": 5}}], "losers": [], "inputs": {}, "wanted": null, "output": "s3://results/completed/", "fingerprint": "f4d528fc4876f80f6a1e48ed408f38956e32642f467e311556f56030a0ecc7bb", "seconds": null, "type": "ask"}','{"id": "task-3", "extra": {}}',NULL,NULL,NULL,2,1.79601781519601058959e+09,1.7960178151999936104e+09,1.79601781520598840708e+09,1.79601961519999361038e+09,0,0,0,0,100000,'{"model": "second", "provider": "beta", "artifact": null, "value": "made by second", "details": {}}',NULL);
INSERT INTO "calls" VALUES('9c09d14be0925d46a03f40b9582a975f','queued','think',1,'alpha','first','',0,'queued','{"candidates": [{"model": "first", "provider": "alpha", "parameters": {"length": 5}}], "losers": [], "inputs": {}, "wanted": null, "output": "s3://results/queued/", "fingerprint": "0ff7bd3cd5f5c811ee3c85321da3effbd8e9b510bb5ceedc1cc64e0acf07e4d8", "seconds": null, "type": "ask"}',NULL,1.79601781523298478131e+09,NULL,NULL,0,1.79601781523298478131e+09,NULL,NULL,NULL,0,0,0,0,0,NULL,NULL);
CREATE TABLE deliveries (
	id VARCHAR(64) NOT NULL, 
	job_id VARCHAR(128), 
	event VARCHAR(32) NOT NULL, 
	url VARCHAR(2048) NOT NULL, 
	secret_name VARCHAR(64), 
	body BLOB NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	attempts INTEGER NOT NULL, 
	created_at DOUBLE NOT NULL, 
	due_at DOUBLE, 
	epoch INTEGER NOT NULL, 
	delivered_at DOUBLE, 
	last_answer VARCHAR(255), 
	CONSTRAINT pk_deliveries PRIMARY KEY (id)
);
INSERT INTO "deliveries" VALUES('msg_363c47da5f935cdbbb3b89441ee757f9','completed','job.completed','http://127.0.0.1:9/',NULL,X'7B2274797065223A226A6F622E636F6D706C65746564222C2274696D657374616D70223A22323032362D31312D33305430353A35303A31352E3232373030305A222C2264617461223A7B226964223A22636F6D706C65746564222C2274797065223A2261736B222C22737461747573223A22636F6D706C65746564222C2270726F67726573735F70657263656E74616765223A3130302C226F757470757473223A5B7B226E616D65223A22616E737765722E747874222C22757269223A2273333A2F2F726573756C74732F636F6D706C657465642F616E737765722E747874222C2275726C223A2266696C653A2F2F2F746D702F6F6C64686F6D652F73746F726167652F726573756C74732F636F6D706C657465642F616E737765722E747874222C22736861323536223A2232313465396361663534383731336436396266306161623332396566613137316230376337626463666165366435666634303266323338313932383462396164222C226279746573223A31342C22636F6E74656E745F74797065223A22746578742F706C61696E227D2C7B226E616D65223A226D616E69666573742E6A736F6E222C22757269223A2273333A2F2F726573756C74732F636F6D706C657465642F6D616E69666573742E6A736F6E222C2275726C223A2266696C653A2F2F2F746D702F6F6C64686F6D652F73746F726167652F726573756C74732F636F6D706C657465642F6D616E69666573742E6A736F6E222C22736861323536223A2265646135646165306333393730343164373532643662363561626132303237393033393665666465333964663136343731333937663364313735376235633135222C226279746573223A3939352C22636F6E74656E745F74797065223A226170706C69636174696F6E2F6A736F6E227D5D2C2270726F7669646572223A2262657461222C226D6F64656C223A227365636F6E64222C22636F7374223A7B22616D6F756E74223A22302E3130222C2263757272656E6379223A22555344227D2C22637265617465645F6174223A22323032362D31312D33305430353A35303A31352E3139333030305A222C22737461727465645F6174223A22323032362D31312D33305430353A35303A31352E3139343030305A222C2270726F63657373696E675F74696D655F7365636F6E6473223A302E3033337D7D','pending',0,1.7960178152279958725e+09,1.7960178152279958725e+09,0,NULL,NULL);
CREATE TABLE jobs (
	id VARCHAR(128) NOT NULL, 
	type VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	role VARCHAR(16) NOT NULL, 
	priority VARCHAR(8) NOT NULL, 
	tenant VARCHAR(64), 
	fingerprint VARCHAR(64) NOT NULL, 
	request TEXT NOT NULL, 
	door VARCHAR(32) NOT NULL, 
	received_at DOUBLE NOT NULL, 
	started_at DOUBLE, 
	finished_at DOUBLE, 
	deadline_at DOUBLE, 
	not_before DOUBLE NOT NULL, 
	wake_at DOUBLE, 
	wakes INTEGER NOT NULL, 
	lease_until DOUBLE, 
	lease_owner VARCHAR(255), 
	epoch INTEGER NOT NULL, 
	crashes INTEGER NOT NULL, 
	failures INTEGER NOT NULL, 
	duplicates INTEGER NOT NULL, 
	progress INTEGER NOT NULL, 
	cancel_requested BOOLEAN NOT NULL, 
	outcome TEXT, 
	error TEXT, pins TEXT, 
	CONSTRAINT pk_jobs PRIMARY KEY (id)
);
INSERT INTO "jobs" VALUES('delivered','ask','waiting','io','normal',NULL,'16cbc371b5b6c65d83625913177d7dbdb4ceab847a4cf908601f88d793b63c82','{"callback":{"events":["completed","failed"],"format":"standard","secret_name":null,"url":"http://127.0.0.1:9/"},"data":{"film":false,"image":null,"length":3,"models":["first","second"]},"deadline":null,"id":"delivered","metadata":null,"output":null,"plan_only":false,"priority":"normal","tenant":null,"type":"ask"}','test',1.79601781491799950603e+09,1.79601781492298841471e+09,NULL,NULL,1.79601781502799701692e+09,1.79601781602799701696e+09,0,NULL,NULL,1,0,0,0,0,0,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('in-flight','ask','waiting','io','normal',NULL,'24695e7cc9d561a4de73aa4b0ae0b2cf2d281c1fc26b50191652d41a1417b74a','{"callback":{"events":["completed","failed"],"format":"standard","secret_name":null,"url":"http://127.0.0.1:9/"},"data":{"film":false,"image":null,"length":null,"models":["first"]},"deadline":null,"id":"in-flight","metadata":null,"output":null,"plan_only":false,"priority":"normal","tenant":null,"type":"ask"}','test',1.79601781504099225995e+09,1.79601781504300379759e+09,NULL,NULL,1.82764021504598116879e+09,NULL,0,NULL,NULL,1,0,0,0,0,0,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('unknown','ask','waiting','io','normal',NULL,'16a0b6813d1e747482145e00a6716ca12e50d40d4d29c289c8494660dc52e3c5','{"callback":null,"data":{"film":false,"image":null,"length":null,"models":["second"]},"deadline":null,"id":"unknown","metadata":null,"output":null,"plan_only":false,"priority":"normal","tenant":null,"type":"ask"}','test',1.79601781512001013756e+09,1.79601781512198162074e+09,NULL,NULL,1.82764021512499904627e+09,NULL,0,NULL,NULL,1,0,0,0,0,0,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('received','ask','received','io','normal',NULL,'98762f89fd3a0320ab12536a42d68c8b9cab00c8a92c9ee93b0fce8ab9d90100','{"callback":null,"data":{"film":false,"image":null,"length":null,"models":["first"]},"deadline":null,"id":"received","metadata":null,"output":null,"plan_only":false,"priority":"normal","tenant":null,"type":"ask"}','test',1.79601781515098953253e+09,NULL,NULL,NULL,1.79601781515098953253e+09,1.7960178201509895325e+09,0,NULL,NULL,0,0,0,0,0,0,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('stepped','ask','waiting','io','normal',NULL,'718326d133583ae628686e298f1201e084ad53b0be2dc4f88112bf7a534e1b43','{"callback":null,"data":{"film":false,"image":null,"length":null,"models":["second"]},"deadline":null,"id":"stepped","metadata":null,"output":null,"plan_only":false,"priority":"normal","tenant":null,"type":"ask"}','test',1.79601781515199542048e+09,1.79601781515199542048e+09,NULL,NULL,1.79601782019001579289e+09,1.79601782019001579289e+09,0,NULL,NULL,2,0,1,0,0,0,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES('completed','ask','completed','io','normal',NULL,'f4d528fc4876f80f6a1e48ed408f38956e32642f467e311556f56030a0ecc7bb','{"callback":{"events":["completed","failed"],"format":"standard","secret_name":null,"url":"http://127.0.0.1:9/"},"data":{"film":false,"image":null,"length":null,"models":["second"]},"deadline":null,"id":"completed","metadata":null,"output":null,"plan_only":false,"priority":"normal","tenant":null,"type":"ask"}','test',1.79601781519299292565e+09,1.79601781519399881364e+09,1.7960178152279958725e+09,NULL,1.79601781520598840708e+09,NULL,0,NULL,NULL,2,0,0,0,100,0,'{"outputs": [{"name": "answer.txt", "uri": "s3://results/completed/answer.txt", "sha256": "214e9caf548713d69bf0aab329efa171b07c7bdcfae6d5ff402f23819284b9ad", "bytes": 14, "content_type": "text/plain"}, {"name": "manifest.json", "uri": "s3://results/completed/manifest.json", "sha256": "eda5dae0c397041d752d6b65aba202790396efde39df16471397f3d1757b5c15", "bytes": 995, "content_type": "application/json"}]}',NULL,NULL);
INSERT INTO "jobs" VALUES('queued','ask','waiting','io','high',NULL,'0ff7bd3cd5f5c811ee3c85321da3effbd8e9b510bb5ceedc1cc64e0acf07e4d8','{"callback":null,"data":{"film":false,"image":null,"length":null,"models":["first"]},"deadline":null,"id":"queued","metadata":{"order":7},"output":null,"plan_only":false,"priority":"high","tenant":null,"type":"ask"}','test',1.79601781523000741001e+09,1.796017815231013298e+09,NULL,NULL,1.82764021523298478121e+09,NULL,0,NULL,NULL,1,0,0,0,0,0,NULL,NULL,NULL);
CREATE TABLE rejections (
	seq INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	door VARCHAR(32) NOT NULL, 
	source VARCHAR(1024) NOT NULL, 
	request_id VARCHAR(128), 
	code VARCHAR(48) NOT NULL, 
	message TEXT NOT NULL, 
	body BLOB NOT NULL, 
	headers TEXT NOT NULL, 
	replayed_at DOUBLE, 
	CONSTRAINT pk_rejections PRIMARY KEY (seq)
);
INSERT INTO "rejections" VALUES(1,1.7960178151919870377e+09,'amqp','telecine.requests','bad','missing_field','data is missing',X'7B226964223A2022626164222C202274797065223A20226E6F7468696E67227D','{"x": "y"}',NULL);
CREATE TABLE steps (
	job_id VARCHAR(128) NOT NULL, 
	name VARCHAR(64) NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	epoch INTEGER NOT NULL, 
	started_at DOUBLE NOT NULL, 
	finished_at DOUBLE, 
	result TEXT, 
	CONSTRAINT pk_steps PRIMARY KEY (job_id, name)
);
INSERT INTO "steps" VALUES('delivered','think','running',1,1.79601781492998886107e+09,NULL,NULL);
INSERT INTO "steps" VALUES('in-flight','think','running',1,1.79601781504501557349e+09,NULL,NULL);
INSERT INTO "steps" VALUES('unknown','think','running',1,1.79601781512399315829e+09,NULL,NULL);
INSERT INTO "steps" VALUES('stepped','think','done',2,1.79601781515400695798e+09,1.79601781517999768257e+09,'{"model": "second", "provider": "beta", "artifact": null, "value": "made by second", "details": {}}');
INSERT INTO "steps" VALUES('stepped','write','done',2,1.79601781518100357053e+09,1.79601781518699836733e+09,'[{"name": "answer.txt", "content_type": "text/plain", "facts": {}, "uri": "s3://results/stepped/answer.txt", "sha256": "214e9caf548713d69bf0aab329efa171b07c7bdcfae6d5ff402f23819284b9ad", "bytes": 14, "details": {}, "inline": false}]');
INSERT INTO "steps" VALUES('completed','think','done',2,1.79601781519601058959e+09,1.7960178152199892998e+09,'{"model": "second", "provider": "beta", "artifact": null, "value": "made by second", "details": {}}');
INSERT INTO "steps" VALUES('completed','write','done',2,1.7960178152199892998e+09,1.79601781522401285169e+09,'[{"name": "answer.txt", "content_type": "text/plain", "facts": {}, "uri": "s3://results/completed/answer.txt", "sha256": "214e9caf548713d69bf0aab329efa171b07c7bdcfae6d5ff402f23819284b9ad", "bytes": 14, "details": {}, "inline": false}]');
INSERT INTO "steps" VALUES('queued','think','running',1,1.796017815232019186e+09,NULL,NULL);
CREATE TABLE timeline (
	seq INTEGER NOT NULL, 
	job_id VARCHAR(128) NOT NULL, 
	at DOUBLE NOT NULL, 
	event VARCHAR(48) NOT NULL, 
	epoch INTEGER, 
	detail TEXT, 
	CONSTRAINT pk_timeline PRIMARY KEY (seq)
);
INSERT INTO "timeline" VALUES(1,'delivered',1.79601781491799950603e+09,'received',NULL,'{"door": "test", "fingerprint": "16cbc371b5b6c65d83625913177d7dbdb4ceab847a4cf908601f88d793b63c82"}');
INSERT INTO "timeline" VALUES(2,'delivered',1.79601781492600584035e+09,'claimed',1,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(3,'delivered',1.79601781492998886107e+09,'step_started',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(4,'delivered',1.79601781493300652501e+09,'model_chosen',NULL,'{"step": "think", "model": "first", "provider": "alpha", "passed_over": []}');
INSERT INTO "timeline" VALUES(5,'delivered',1.79601781493300652501e+09,'parked',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(6,'delivered',1.79601781496499180793e+09,'call_accepted',NULL,'{"step": "think", "provider": "alpha", "model": "first", "task": "task-1", "key": "5d705e54904453a0b0920289f98c3b86"}');
INSERT INTO "timeline" VALUES(7,'delivered',1.79601781502699112897e+09,'call_ready',NULL,'{"step": "think", "provider": "alpha"}');
INSERT INTO "timeline" VALUES(8,'delivered',1.79601781502900266647e+09,'call_done',NULL,'{"step": "think", "provider": "alpha", "model": "first"}');
INSERT INTO "timeline" VALUES(9,'in-flight',1.79601781504099225995e+09,'received',NULL,'{"door": "test", "fingerprint": "24695e7cc9d561a4de73aa4b0ae0b2cf2d281c1fc26b50191652d41a1417b74a"}');
INSERT INTO "timeline" VALUES(10,'in-flight',1.79601781504300379759e+09,'claimed',1,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(11,'in-flight',1.79601781504501557349e+09,'step_started',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(12,'in-flight',1.79601781504598116872e+09,'model_chosen',NULL,'{"step": "think", "model": "first", "provider": "alpha", "passed_over": []}');
INSERT INTO "timeline" VALUES(13,'in-flight',1.79601781504598116872e+09,'parked',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(14,'in-flight',1.79601781505201601985e+09,'call_accepted',NULL,'{"step": "think", "provider": "alpha", "model": "first", "task": "task-2", "key": "c2a142e0fa875de3b067aaac8d7568d1"}');
INSERT INTO "timeline" VALUES(15,'unknown',1.79601781512001013756e+09,'received',NULL,'{"door": "test", "fingerprint": "16a0b6813d1e747482145e00a6716ca12e50d40d4d29c289c8494660dc52e3c5"}');
INSERT INTO "timeline" VALUES(16,'unknown',1.79601781512198162074e+09,'claimed',1,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(17,'unknown',1.79601781512399315829e+09,'step_started',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(18,'unknown',1.79601781512499904637e+09,'model_chosen',NULL,'{"step": "think", "model": "second", "provider": "beta", "passed_over": []}');
INSERT INTO "timeline" VALUES(19,'unknown',1.79601781512499904637e+09,'parked',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(20,'unknown',1.79601781513799428936e+09,'outcome_unknown',NULL,'{"step": "think", "provider": "beta", "model": "second", "key": "ef36cc525c8b534986356ee181eee8a8", "message": "the connection broke", "look_up": true}');
INSERT INTO "timeline" VALUES(21,'received',1.79601781515098953253e+09,'received',NULL,'{"door": "test", "fingerprint": "98762f89fd3a0320ab12536a42d68c8b9cab00c8a92c9ee93b0fce8ab9d90100"}');
INSERT INTO "timeline" VALUES(22,'stepped',1.79601781515199542048e+09,'received',NULL,'{"door": "test", "fingerprint": "718326d133583ae628686e298f1201e084ad53b0be2dc4f88112bf7a534e1b43"}');
INSERT INTO "timeline" VALUES(23,'stepped',1.79601781515300130843e+09,'claimed',1,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(24,'stepped',1.79601781515400695798e+09,'step_started',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(25,'stepped',1.79601781515501284598e+09,'model_chosen',NULL,'{"step": "think", "model": "second", "provider": "beta", "passed_over": []}');
INSERT INTO "timeline" VALUES(26,'stepped',1.79601781515501284598e+09,'parked',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(27,'stepped',1.79601781516100764274e+09,'call_accepted',NULL,'{"step": "think", "provider": "beta", "model": "second", "task": "task-2", "key": "b9443f5a583a58299517b8893a525cd0"}');
INSERT INTO "timeline" VALUES(28,'stepped',1.79601781516398477551e+09,'call_ready',NULL,'{"step": "think", "provider": "beta"}');
INSERT INTO "timeline" VALUES(29,'stepped',1.79601781516499066351e+09,'call_done',NULL,'{"step": "think", "provider": "beta", "model": "second"}');
INSERT INTO "timeline" VALUES(30,'stepped',1.79601781517798614502e+09,'claimed',2,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(31,'stepped',1.79601781518100357053e+09,'step_done',2,'{"step": "think", "artifacts": []}');
INSERT INTO "timeline" VALUES(32,'stepped',1.79601781518100357053e+09,'step_started',2,'{"step": "write"}');
INSERT INTO "timeline" VALUES(33,'stepped',1.79601781518699836733e+09,'step_done',2,'{"step": "write", "artifacts": ["answer.txt"]}');
INSERT INTO "timeline" VALUES(34,'stepped',1.79601781518800401689e+09,'storing',2,NULL);
INSERT INTO "timeline" VALUES(35,'stepped',1.79601781519098138801e+09,'retry_later',2,'{"seconds": 5.0, "failures": 1, "code": "storage_unavailable", "message": "away", "step": null}');
INSERT INTO "timeline" VALUES(36,'completed',1.79601781519299292565e+09,'received',NULL,'{"door": "test", "fingerprint": "f4d528fc4876f80f6a1e48ed408f38956e32642f467e311556f56030a0ecc7bb"}');
INSERT INTO "timeline" VALUES(37,'completed',1.79601781519399881364e+09,'claimed',1,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(38,'completed',1.79601781519601058959e+09,'step_started',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(39,'completed',1.79601781519701623915e+09,'model_chosen',NULL,'{"step": "think", "model": "second", "provider": "beta", "passed_over": []}');
INSERT INTO "timeline" VALUES(40,'completed',1.79601781519701623915e+09,'parked',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(41,'completed',1.79601781520200514796e+09,'call_accepted',NULL,'{"step": "think", "provider": "beta", "model": "second", "task": "task-3", "key": "04ee314370c6552e9adfbc9fe2677dfe"}');
INSERT INTO "timeline" VALUES(42,'completed',1.79601781520498251913e+09,'call_ready',NULL,'{"step": "think", "provider": "beta"}');
INSERT INTO "timeline" VALUES(43,'completed',1.79601781520598840708e+09,'call_done',NULL,'{"step": "think", "provider": "beta", "model": "second"}');
INSERT INTO "timeline" VALUES(44,'completed',1.79601781521801805502e+09,'claimed',2,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(45,'completed',1.7960178152199892998e+09,'step_done',2,'{"step": "think", "artifacts": []}');
INSERT INTO "timeline" VALUES(46,'completed',1.7960178152199892998e+09,'step_started',2,'{"step": "write"}');
INSERT INTO "timeline" VALUES(47,'completed',1.79601781522401285169e+09,'step_done',2,'{"step": "write", "artifacts": ["answer.txt"]}');
INSERT INTO "timeline" VALUES(48,'completed',1.79601781522401285169e+09,'storing',2,NULL);
INSERT INTO "timeline" VALUES(49,'completed',1.7960178152279958725e+09,'completed',2,NULL);
INSERT INTO "timeline" VALUES(50,'completed',1.79601781522900152206e+09,'callback_queued',NULL,'{"webhook_id": "msg_363c47da5f935cdbbb3b89441ee757f9", "about": "job.completed"}');
INSERT INTO "timeline" VALUES(51,'queued',1.79601781523000741001e+09,'received',NULL,'{"door": "test", "fingerprint": "0ff7bd3cd5f5c811ee3c85321da3effbd8e9b510bb5ceedc1cc64e0acf07e4d8"}');
INSERT INTO "timeline" VALUES(52,'queued',1.796017815231013298e+09,'claimed',1,'{"worker": "vm:3873"}');
INSERT INTO "timeline" VALUES(53,'queued',1.79601781523298478131e+09,'step_started',1,'{"step": "think"}');
INSERT INTO "timeline" VALUES(54,'queued',1.79601781523298478131e+09,'model_chosen',NULL,'{"step": "think", "model": "first", "provider": "alpha", "passed_over": []}');
INSERT INTO "timeline" VALUES(55,'queued',1.79601781523298478131e+09,'parked',1,'{"step": "think"}');
CREATE TABLE uploads (
	seq INTEGER NOT NULL, 
	at DOUBLE NOT NULL, 
	door VARCHAR(32) NOT NULL, 
	source VARCHAR(1024) NOT NULL, 
	body BLOB NOT NULL, 
	headers TEXT NOT NULL, 
	due_at DOUBLE NOT NULL, 
	tries INTEGER NOT NULL, 
	reason TEXT, 
	CONSTRAINT pk_uploads PRIMARY KEY (seq)
);
CREATE INDEX ix_deliveries_due_at ON deliveries (due_at);
CREATE INDEX ix_deliveries_job_id ON deliveries (job_id);
CREATE INDEX ix_jobs_open ON jobs (role, priority, received_at) WHERE wake_at IS NOT NULL;
CREATE INDEX ix_jobs_state_received_at ON jobs (state, received_at);
CREATE INDEX ix_jobs_wake_at ON jobs (wake_at);
CREATE INDEX ix_rejections_request_id ON rejections (request_id);
CREATE INDEX ix_timeline_job_id_seq ON timeline (job_id, seq);
CREATE INDEX ix_calls_due_at ON calls (due_at);
CREATE INDEX ix_calls_job_id_step_attempt ON calls (job_id, step, attempt);
CREATE INDEX ix_calls_provider_state_queued_at ON calls (provider, state, queued_at);
CREATE INDEX ix_calls_tenant_submitted_at ON calls (tenant, submitted_at);
CREATE INDEX ix_uploads_due_at ON uploads (due_at);
COMMIT;
