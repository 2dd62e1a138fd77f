"""gRPC's health and reflection services, on each port that serves sessions; loaded when somebody first asks.

`grpc_health_probe -addr HOST:PORT` and `grpcurl HOST:PORT list` find what they expect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from hamgr.v1 import arbiter_pb2

MOST = 16
"""Calls at once. Watchers stay, and must not keep nodes out."""

_HEALTH, _REFLECTION = "/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/"
SERVICE = "hamgr.v1.Arbiter"


class Monitoring(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """healthy: whether votes can be kept now."""

    def __init__(self, healthy: Callable[[], bool]) -> None:
        self._healthy = healthy
        self._turns = asyncio.Semaphore(MOST)
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method
        if not method.startswith((_HEALTH, _REFLECTION)):
            return None
        if not self._handlers:
            self._handlers = {**self._health(), **self._reflection()}
        return self._handlers.get(method)

    def _health(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        from grpc_health.v1 import health_pb2 as pb

        def now(request: Any) -> Any:
            states = pb.HealthCheckResponse
            if request.service not in ("", SERVICE):
                return states(status=states.SERVICE_UNKNOWN)
            return states(status=states.SERVING if self._healthy() else states.NOT_SERVING)

        async def check(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            answer = now(request)
            if answer.status == pb.HealthCheckResponse.SERVICE_UNKNOWN:
                await context.abort(grpc.StatusCode.NOT_FOUND, f"served here: {SERVICE}")
            return answer

        async def watch(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            if self._turns.locked():
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST} watch already")
            async with self._turns:
                said = None
                while True:
                    if (answer := now(request)) != said:
                        said = answer
                        yield answer
                    await asyncio.sleep(1.0)

        serializers = {
            "request_deserializer": pb.HealthCheckRequest.FromString,
            "response_serializer": pb.HealthCheckResponse.SerializeToString,
        }
        return {
            f"{_HEALTH}Check": grpc.unary_unary_rpc_method_handler(check, **serializers),
            f"{_HEALTH}Watch": grpc.unary_stream_rpc_method_handler(watch, **serializers),
        }

    def _reflection(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        from grpc_health.v1 import health_pb2
        from grpc_reflection.v1alpha import reflection, reflection_pb2
        from grpc_reflection.v1alpha._async import ReflectionServicer

        # What is described must be known: these modules make it so.
        assert arbiter_pb2.DESCRIPTOR
        assert health_pb2.DESCRIPTOR
        names = (SERVICE, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        servicer = ReflectionServicer(service_names=names)

        async def info(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
            if self._turns.locked():
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST} ask already")
            async with self._turns:
                async for answer in servicer.ServerReflectionInfo(requests, context):
                    yield answer

        handler = grpc.stream_stream_rpc_method_handler(
            info,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        return {f"{_REFLECTION}ServerReflectionInfo": handler}
