-- The deadline beside the item: what is past it is found by an index, wherever it stands in its lane. It stands in an
-- index of its own because a lane's order is by run_at. Operations keep the truth; a hold of the lane extends both alike.
ALTER TABLE queue_items ADD COLUMN deadline timestamptz;
UPDATE queue_items q SET deadline = o.deadline
FROM operations o WHERE o.project_id = q.project_id AND o.id = q.operation_id;
CREATE INDEX queue_items_deadline ON queue_items (lane_id, deadline);
