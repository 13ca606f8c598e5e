-- The tool and the menu action that end the call are named `end_call`; they were `hang_up`.
UPDATE ai_profiles SET settings = json_set(settings, '$.tools',
    json(replace(json_extract(settings, '$.tools'), '"hang_up"', '"end_call"')))
WHERE json_extract(settings, '$.tools') LIKE '%"hang_up"%';
UPDATE ai_profiles SET settings = json_set(settings, '$.keypad_menus',
    json(replace(json_extract(settings, '$.keypad_menus'), '"action":"hang_up"', '"action":"end_call"')))
WHERE json_extract(settings, '$.keypad_menus') LIKE '%"action":"hang_up"%';
UPDATE ai_profile_versions SET settings = json_set(settings, '$.tools',
    json(replace(json_extract(settings, '$.tools'), '"hang_up"', '"end_call"')))
WHERE json_extract(settings, '$.tools') LIKE '%"hang_up"%';
UPDATE ai_profile_versions SET settings = json_set(settings, '$.keypad_menus',
    json(replace(json_extract(settings, '$.keypad_menus'), '"action":"hang_up"', '"action":"end_call"')))
WHERE json_extract(settings, '$.keypad_menus') LIKE '%"action":"hang_up"%';

-- Calls are found by the rating of their caller.
CREATE INDEX call_feedback_rating ON call_feedback (tenant_id, rating, call_id);
