"""Group codes out of Keycloak's tree: each group has its own, or none."""

from bridge.keycloak.group_codes import build_group_codes
from bridge.keycloak.mapping import KeycloakGroup


def group(group_id: str, name: str, parent_id: str | None = None) -> KeycloakGroup:
    return KeycloakGroup(group_id, name, parent_id, may_have_children=True)


def test_a_code_is_the_path_without_its_first_slash_whatever_the_order_of_the_list() -> None:
    found = build_group_codes([group("3", "night", "2"), group("2", "sales", "1"), group("1", "staff")])
    assert found.codes == {"1": "staff", "2": "staff/sales", "3": "staff/sales/night"}
    assert found.refused == ()


def test_a_name_that_would_forge_another_group_and_what_is_below_it_has_no_code() -> None:
    found = build_group_codes(
        [group("1", "staff/sales"), group("2", "a,b"), group("3", "child", "2"), group("4", "nul\0"), group("5", "ok")]
    )
    assert found.codes == {"5": "ok"}
    assert found.refused == ("/staff/sales", "/a,b", "/a,b/child", "/nul\0")
