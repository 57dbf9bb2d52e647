"""Request, Response, Body, Handler; the socket on either side of them."""
