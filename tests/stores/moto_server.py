#!/usr/bin/env python3
"""moto as an S3 server that answers one request after another.

    moto_server.py HOST PORT

With a thread for each request, as moto comes, two of them may look whether a name is free before
either has taken it: it would not be the store that the tests are about.
"""

import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import MotoRequestHandler
from werkzeug.serving import run_simple

host, port = sys.argv[1], int(sys.argv[2])
app = DomainDispatcherApplication(create_backend_app)
run_simple(host, port, app, threaded=False, request_handler=MotoRequestHandler)
