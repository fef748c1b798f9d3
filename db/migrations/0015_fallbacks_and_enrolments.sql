-- What the AI's provider said when a message was written by its template instead, bounded and free of secrets.
alter table automation_messages add column fallback_detail text;
