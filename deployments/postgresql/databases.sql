-- A role and its two databases; as a superuser:
--
--   BACKPROP_PASSWORD=... psql -f deployments/postgresql/databases.sql
--
-- Both servers make their tables themselves at their first start, and Prefect the extension pg_trgm, which the owner
-- of a database may.
\set ON_ERROR_STOP on
\getenv password BACKPROP_PASSWORD
CREATE ROLE backprop LOGIN PASSWORD :'password';
CREATE DATABASE prefect OWNER backprop;
CREATE DATABASE mlflow OWNER backprop;
