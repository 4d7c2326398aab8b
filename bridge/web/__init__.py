"""The web service: routes, cookies, pages. The only place that knows HTTP servers, frameworks and templates.

    app              composition root: opens database and client, builds a relying party per package, mounts routes
    dependencies     what a route may ask for: the relying party of a package, the session of the visitor
    cookies          names, attributes and strict reading
    forms            tokens that bind a form to a session, and where a form may come from
    error_handlers   the one place that turns errors into pages or JSON
    middleware       request id and headers of every answer (pure ASGI)
    routes/          one file a noun of the address: /login and /callback, /me, /logout, /livez

A route translates: it reads a request, calls one flow, writes the answer. It raises; it does not catch.
"""
