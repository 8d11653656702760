-- What was decided at the moment of sending and cannot be derived again: the fields that `ifEmpty` left out because the
-- provider had a value. A JSON list of the provider's names.
ALTER TABLE attempts ADD COLUMN skipped text;
