"""PostgreSQL: one database on a server over TCP, the base on asyncpg's own pool."""
