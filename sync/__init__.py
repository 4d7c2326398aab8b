"""The sync: keeps `sys_user` and `sys_usersession` a true mirror of a Keycloak realm.

    worker      one run: lease -> sweep -> census -> one row in sync_run
    sweep       reads all users with their groups, proves that none was missed, marks who is absent
    census      reads all sessions, ends those that Keycloak has ended
    apply       compares with the rows and writes the differences, in transactions that hold the lease
    job         what one run knows: where it reads and writes, and what it has found so far
    progress    how far a run is: a bar on a terminal, log lines elsewhere
    reconcile   the rules (pure): what Keycloak has, what the row has, what is to be done

It stands on the inner part of the bridge (`keycloak`, `storage`, `model`) and knows neither the web nor SQL nor HTTP.
It never deletes a row, never touches a row without an identity, and never writes what is already there.
"""
