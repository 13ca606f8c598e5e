-- Where a number's calls continue that its agent cannot serve, or no longer, as JSON: routes by case.
ALTER TABLE phone_numbers ADD COLUMN failover TEXT NOT NULL DEFAULT '{}';
