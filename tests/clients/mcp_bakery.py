"""A bakery's MCP server, for the tests: an arbitrary free port, which it prints."""

import socket

import uvicorn
from mcp.server import MCPServer

bakery = MCPServer("bakery")
stock = {"rye": 3, "spelt": 0, "white": 12}


@bakery.tool()
def check_stock(bread: str) -> dict[str, int]:
    """How many loaves of a bread are left today."""
    return {"left": stock[bread]}


@bakery.tool()
def opening_hours() -> str:
    """When the shop is open."""
    return "Seven to six, Sundays eight to noon."


@bakery.tool()
def reserve(bread: str, shop: int) -> dict[str, str | int]:
    """Reserves a loaf for the caller."""
    return {"bread": bread, "shop": shop}


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
# Connections wait from now on until the server takes them.
listener.listen()
print(listener.getsockname()[1], flush=True)
app = bakery.streamable_http_app()
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
