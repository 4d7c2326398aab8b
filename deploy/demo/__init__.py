"""The demonstration: a real Keycloak with people in it, the bridge, and a small application behind the bridge.

    run  ->  keycloak_server  ->  keycloak_source   (where Keycloak comes from)
     |              |         ->  keycloak_home     (its working directory and command)
     |              +---------------------------->  child  (a process that never outlives us)
     |  ->  realm          (the demo realm, also used by the tests)
     |  ->  configuration  (what the bridge is told)
     +  ->  page           (the application, "Corner Shop")

`keycloak_server` and `realm` serve the end-to-end tests and the benchmarks as well. Nothing here is installed with the
product, and nothing here imports it: the demo starts the bridge by its command, as an operator does.
"""
