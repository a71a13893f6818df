#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: client.py SOCKET status | poke ADDR OLD NEW | revert [ID]

A client of the control socket of `vmpoke run` (docs/control-protocol.md): how is the VM, which
pokes stand; replace an instruction (OLD and NEW in hexadecimal); take it back, the newest or ID."""
import json, socket, sys


class Client:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile(encoding="utf-8")  # CR LF ends each object
        self.answer()  # the greeting
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(request).encode())
        return self.answer()["return"]

    def answer(self):
        for message in map(json.loads, self.lines):
            if "error" in message:
                sys.exit("client.py: " + message["error"]["desc"])
            if "event" not in message:
                return message
            print(message["event"], message.get("data", ""))
        sys.exit("client.py: the VM has hung up")


def main(path, command, *args):
    vm = Client(path)
    if command == "status" and not args:
        print(vm.call("query-status")["status"])
        for poke in vm.call("query-pokes"):
            print("poke", poke["id"], poke.get("sites", "of too many sites"))
    elif command == "poke" and len(args) == 3:
        site = dict(zip(("addr", "old", "new"), args))
        print("poke", vm.call("poke", sites=[site])["id"])
    elif command == "revert" and len(args) < 2:
        print("reverted", vm.call("revert", **{"id": int(i) for i in args})["id"])
    else:
        sys.exit(__doc__)


if len(sys.argv) < 3:
    sys.exit(__doc__)
try:
    main(*sys.argv[1:])
except OSError as error:
    sys.exit(f"client.py: {sys.argv[1]}: {error.strerror}")
except ValueError as error:
    sys.exit(f"client.py: {error}")
