"""The layers around every call of a listener; `call_layers` in rpc/server.py defines their order."""
