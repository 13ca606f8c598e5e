-- All tenants' calls are found by results of their analysis.
CREATE INDEX analysis_labels_of_all ON analysis_labels (name, value, call_id);
-- A tenant's rows are found by a purge.
CREATE INDEX analysis_usage_tenant ON analysis_usage (tenant_id, call_id);
