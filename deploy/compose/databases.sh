#!/bin/sh
# Dagster's database and the catalog's, for a role that is no superuser.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$DATABASE_PASSWORD" --dbname postgres <<'SQL'
CREATE ROLE photo_popularity LOGIN PASSWORD :'password';
CREATE DATABASE dagster OWNER photo_popularity;
CREATE DATABASE photo_popularity OWNER photo_popularity;
SQL
