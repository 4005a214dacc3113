-- Rules are switched, added and removed over the API and in the console, which a permission of its own guards.

-- Tokens that hold every permission of before, as the administrator's does, hold the new one too.
UPDATE access_token
SET permissions = '["read","connections:write","access:write","coaching:write","risk:write","posture:write","rules:write","integrations:write","capabilities:call","api:call:read","admin"]'
WHERE permissions LIKE '%"read"%' AND permissions LIKE '%"connections:write"%'
    AND permissions LIKE '%"access:write"%' AND permissions LIKE '%"posture:write"%'
    AND permissions LIKE '%"coaching:write"%' AND permissions LIKE '%"risk:write"%'
    AND permissions LIKE '%"integrations:write"%' AND permissions LIKE '%"capabilities:call"%'
    AND permissions LIKE '%"api:call:read"%' AND permissions LIKE '%"admin"%';
