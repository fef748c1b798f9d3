-- additive
-- What the body of a message is: text, or HTML in which the values that were filled in are escaped.
alter table automation_messages add column format text not null default 'text'
  constraint automation_messages_format_check check (format in ('text', 'html'));
