"""SQL: one file a noun; functions take `db` first and return objects of `bridge.model`.

    database   opens the engine; `reading()` and `write(step)` are the only ways to a connection
    tables/    what the tables look like; private to storage and the migrations
    migrate    brings a database to the newest schema

Queries live here and nowhere else. Flows decide when to commit; nothing here calls outward.
"""
