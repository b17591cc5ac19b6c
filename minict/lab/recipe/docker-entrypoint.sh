#!/bin/sh
# What the entry point of Docker's image mariadb does, in short: on an empty volume it makes a database, with the help of
# a temporary server that nobody on the network can reach. Then this shell is replaced by the server itself.
#   MARIADB_DATABASE, MARIADB_USER, MARIADB_PASSWORD   a database, and who may use it
#   /docker-entrypoint-initdb.d/*.sql                  what else to do at the first start
#   MARIADB_ROOT_PASSWORD, or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1
set -e

case ${1:-} in "" | -*) set -- mariadbd "$@" ;; esac
[ "$1" = mariadbd ] || exec "$@"
shift
mkdir -p /run/mysqld
chown mysql:mysql /run/mysqld /var/lib/mysql

if [ ! -d /var/lib/mysql/mysql ]; then
    [ -n "$MARIADB_ROOT_PASSWORD$MARIADB_ALLOW_EMPTY_ROOT_PASSWORD" ] || {
        echo "Database is uninitialized: set MARIADB_ROOT_PASSWORD or MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1" >&2
        exit 1
    }
    echo "[Entrypoint]: Initializing database files"
    mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=normal "$@" > /dev/null
    echo "[Entrypoint]: Starting temporary server"
    mariadbd --skip-networking "$@" &
    until mariadb -e "SELECT 1" > /dev/null 2>&1; do sleep 0.1; done
    {
        [ -z "$MARIADB_DATABASE" ] || echo "CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;"
        if [ -n "$MARIADB_USER" ]; then
            echo "CREATE USER '$MARIADB_USER'@'%' IDENTIFIED BY '$MARIADB_PASSWORD';"
            [ -z "$MARIADB_DATABASE" ] || echo "GRANT ALL ON \`$MARIADB_DATABASE\`.* TO '$MARIADB_USER'@'%';"
        fi
    } | mariadb
    for file in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -e "$file" ] || mariadb ${MARIADB_DATABASE:+"$MARIADB_DATABASE"} < "$file"
    done
    [ -z "$MARIADB_ROOT_PASSWORD" ] || mariadb -e "ALTER USER root@localhost IDENTIFIED BY '$MARIADB_ROOT_PASSWORD'"
    echo "[Entrypoint]: Stopping temporary server"
    kill $!
    wait $!
    echo "[Entrypoint]: MariaDB init process done. Ready for start up."
fi
exec mariadbd "$@"
