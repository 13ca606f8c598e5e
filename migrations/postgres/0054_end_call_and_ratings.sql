-- The tool and the menu action that end the call are named `end_call`; they were `hang_up`. A value of the type json keeps its
-- text, so the rest of the settings stays as it is.
SET LOCAL vca.reach = 'all';

UPDATE ai_profiles SET settings = replace(settings,
    '"tools":' || (settings::json -> 'tools')::text,
    '"tools":' || replace((settings::json -> 'tools')::text, '"hang_up"', '"end_call"'))
WHERE (settings::json -> 'tools')::text LIKE '%"hang_up"%';
UPDATE ai_profiles SET settings = replace(settings,
    '"keypad_menus":' || (settings::json -> 'keypad_menus')::text,
    '"keypad_menus":' || replace((settings::json -> 'keypad_menus')::text, '"action":"hang_up"', '"action":"end_call"'))
WHERE (settings::json -> 'keypad_menus')::text LIKE '%"action":"hang_up"%';
UPDATE ai_profile_versions SET settings = replace(settings,
    '"tools":' || (settings::json -> 'tools')::text,
    '"tools":' || replace((settings::json -> 'tools')::text, '"hang_up"', '"end_call"'))
WHERE (settings::json -> 'tools')::text LIKE '%"hang_up"%';
UPDATE ai_profile_versions SET settings = replace(settings,
    '"keypad_menus":' || (settings::json -> 'keypad_menus')::text,
    '"keypad_menus":' || replace((settings::json -> 'keypad_menus')::text, '"action":"hang_up"', '"action":"end_call"'))
WHERE (settings::json -> 'keypad_menus')::text LIKE '%"action":"hang_up"%';

-- Calls are found by the rating of their caller.
CREATE INDEX call_feedback_rating ON call_feedback (tenant_id, rating, call_id);
