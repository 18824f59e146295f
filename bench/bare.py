"""What the framework alone can do: a FastAPI application with one route, served as ours is."""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

bare = FastAPI()


class Status(BaseModel):
    """Like the answer of /health/live."""

    status: str = "ok"


@bare.get("/bare")
async def answer() -> Status:
    """Nothing but the framework."""
    return Status()


if __name__ == "__main__":
    uvicorn.run(
        bare,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
    )
