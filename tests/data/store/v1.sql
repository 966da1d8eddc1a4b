BEGIN TRANSACTION;
CREATE TABLE errors (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run_id TEXT NOT NULL, 
	ws_id TEXT NOT NULL, 
	step_name TEXT NOT NULL, 
	error_code TEXT NOT NULL, 
	signature TEXT NOT NULL, 
	message TEXT NOT NULL, 
	context_json TEXT NOT NULL, 
	count INTEGER NOT NULL, 
	first_seen_at TEXT NOT NULL, 
	last_seen_at TEXT NOT NULL, 
	UNIQUE (run_id, ws_id, step_name, signature), 
	FOREIGN KEY(run_id, ws_id) REFERENCES workstreams (run_id, ws_id)
)
 STRICT

;
INSERT INTO "errors" VALUES(1,'01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','static','LINT_ERROR','ruff::F401::unused import','unused import','{"tool": "ruff", "rule": "F401", "path": "src/a.py", "line": 1, "places": 1}',1,'2025-01-01T00:00:00.000Z','2025-01-01T00:00:00.000Z');
CREATE TABLE events (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	timestamp TEXT NOT NULL, 
	run_id TEXT, 
	ws_id TEXT, 
	event_type TEXT NOT NULL, 
	payload_json TEXT NOT NULL
)
 STRICT

;
INSERT INTO "events" VALUES(1,'2025-01-01T00:00:00.000Z','01JAAAAAAAAAAAAAAAAAAAAAAA',NULL,'run_created','{"base_commit": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "workstreams": 2}');
INSERT INTO "events" VALUES(2,'2025-01-01T00:00:00.000Z','01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','workstream_created','{}');
INSERT INTO "events" VALUES(3,'2025-01-01T00:00:00.000Z','01JAAAAAAAAAAAAAAAAAAAAAAA','ws-b','workstream_created','{}');
INSERT INTO "events" VALUES(4,'2025-01-01T00:00:00.000Z','01JAAAAAAAAAAAAAAAAAAAAAAA',NULL,'state_transition','{"from": "pending", "to": "running", "cause": "run started"}');
INSERT INTO "events" VALUES(5,'2025-01-01T00:00:00.000Z','01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','state_transition','{"from": "pending", "to": "ready", "cause": "test", "reason": ""}');
INSERT INTO "events" VALUES(6,'2025-01-01T00:00:00.000Z','01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','state_transition','{"from": "ready", "to": "editing", "cause": "test", "reason": ""}');
INSERT INTO "events" VALUES(7,'2025-01-01T00:00:00.000Z','01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','state_transition','{"from": "editing", "to": "static_check", "cause": "test", "reason": ""}');
CREATE TABLE runs (
	run_id TEXT NOT NULL, 
	status TEXT NOT NULL, 
	base_commit TEXT NOT NULL, 
	plan_sha256 TEXT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	metadata_json TEXT NOT NULL, 
	PRIMARY KEY (run_id)
)
 STRICT

;
INSERT INTO "runs" VALUES('01JAAAAAAAAAAAAAAAAAAAAAAA','running','bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','f31f8777585363ba4dd3ebd8d68cc1580fea82e11cd3ae680ee34ca9f83ecc73','2025-01-01T00:00:00.000Z','2025-01-01T00:00:00.000Z','{}');
CREATE TABLE schema_meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
)
 STRICT

;
INSERT INTO "schema_meta" VALUES('schema_version','1');
CREATE TABLE step_attempts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run_id TEXT NOT NULL, 
	ws_id TEXT NOT NULL, 
	step_name TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	outcome TEXT, 
	started_at TEXT NOT NULL, 
	completed_at TEXT, 
	result_json TEXT, 
	UNIQUE (run_id, ws_id, step_name, attempt), 
	FOREIGN KEY(run_id, ws_id) REFERENCES workstreams (run_id, ws_id)
)
 STRICT

;
INSERT INTO "step_attempts" VALUES(1,'01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','edit',1,'success','ok','2025-01-01T00:00:00.000Z','2025-01-01T00:00:00.000Z','{"outcome": "ok", "message": "it ended ok", "candidate": "cccccccccccccccccccccccccccccccccccccccc", "diff_hash": "dddddddddddddddddddddddddddddddddddddddd", "files_modified": [], "findings_total": 0, "findings": [], "refusals": [], "usage": {"requests": 1, "tokens_in": 10, "tokens_out": 2}, "outputs": [], "duration_s": 1.5}');
INSERT INTO "step_attempts" VALUES(2,'01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','static',1,'failure','findings','2025-01-01T00:00:00.000Z','2025-01-01T00:00:00.000Z','{"outcome": "findings", "message": "it ended findings", "candidate": "cccccccccccccccccccccccccccccccccccccccc", "diff_hash": "dddddddddddddddddddddddddddddddddddddddd", "files_modified": [], "findings_total": 1, "findings": [{"tool": "ruff", "rule": "F401", "message": "unused import", "signature": "ruff::F401::unused import", "path": "src/a.py", "line": 1, "severity": "error"}], "refusals": [], "usage": {"requests": 1, "tokens_in": 10, "tokens_out": 2}, "outputs": [], "duration_s": 1.5}');
INSERT INTO "step_attempts" VALUES(3,'01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','fix',1,'in_progress',NULL,'2025-01-01T00:00:00.000Z',NULL,NULL);
CREATE TABLE workstreams (
	run_id TEXT NOT NULL, 
	ws_id TEXT NOT NULL, 
	status TEXT NOT NULL, 
	depends_on TEXT NOT NULL, 
	branch TEXT, 
	base_commit TEXT, 
	candidate_commit TEXT, 
	reason TEXT NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	metadata_json TEXT NOT NULL, 
	PRIMARY KEY (run_id, ws_id), 
	FOREIGN KEY(run_id) REFERENCES runs (run_id)
)
 STRICT

;
INSERT INTO "workstreams" VALUES('01JAAAAAAAAAAAAAAAAAAAAAAA','ws-a','static_check','[]',NULL,'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','cccccccccccccccccccccccccccccccccccccccc','','2025-01-01T00:00:00.000Z','2025-01-01T00:00:00.000Z','{"acceptance_tests": [{"command": "true", "description": "", "id": "test-1", "timeout_s": null}], "ccpm_issue": null, "change": "change-1", "circuit_breaker": {}, "depends_on": [], "files_create": [], "files_scope": ["src/a.py"], "gate": null, "id": "ws-a", "limits": {}, "metadata": {}, "model": null, "on_scope_violation": "fail", "tasks": ["Write ws-a."], "timeouts": {}, "tool": "aider", "tools": null}');
INSERT INTO "workstreams" VALUES('01JAAAAAAAAAAAAAAAAAAAAAAA','ws-b','pending','["ws-a"]',NULL,NULL,NULL,'','2025-01-01T00:00:00.000Z','2025-01-01T00:00:00.000Z','{"acceptance_tests": [{"command": "true", "description": "", "id": "test-1", "timeout_s": null}], "ccpm_issue": null, "change": "change-1", "circuit_breaker": {}, "depends_on": ["ws-a"], "files_create": [], "files_scope": ["src/b.py"], "gate": null, "id": "ws-b", "limits": {}, "metadata": {}, "model": null, "on_scope_violation": "fail", "tasks": ["Write ws-b."], "timeouts": {}, "tool": "aider", "tools": null}');
CREATE INDEX runs_by_status ON runs (status);
CREATE INDEX events_by_workstream ON events (run_id, ws_id, id);
CREATE INDEX events_by_run ON events (run_id, id);
CREATE INDEX workstreams_by_status ON workstreams (run_id, status);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('events',7);
INSERT INTO "sqlite_sequence" VALUES('step_attempts',3);
INSERT INTO "sqlite_sequence" VALUES('errors',1);
COMMIT;
