"""`GET /livez`: whether the process answers at all. `GET /assets/style.css`: what the pages look like."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

router = APIRouter()

STYLE = (Path(__file__).parents[1] / "templates" / "style.css").read_text(encoding="utf-8")


@router.get("/livez")
async def live() -> Response:
    """Answer as long as the event loop turns; database and Keycloak are not asked."""
    return PlainTextResponse("ok\n")


@router.get("/assets/style.css")
async def style() -> Response:
    """Return the style sheet of all pages."""
    return Response(STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})
