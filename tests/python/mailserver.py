"""A mail server that says what it hears: a JSON object a line on standard output, first {"port": N}.

It is told by one JSON object in its argument: port, mode (plain, starttls, tls), certificate, key, username, password. What it does with a recipient
is in the local part: `never` is refused for good, `later` the first two times, `hang` is not answered.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

told = json.loads(sys.argv[1])


def say(**what):
    print(json.dumps(what), flush=True)


class Handler:
    refused = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        say(recipient=address)
        if name == "never":
            return f"550 5.1.1 <{address}> is nobody here"
        if name == "later" and Handler.refused < 2:
            Handler.refused += 1
            return f"451 4.7.1 <{address}> comes again"
        if name == "hang":
            await asyncio.sleep(3600)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        say(
            sender=envelope.mail_from,
            to=envelope.rcpt_tos,
            text=envelope.content.decode(),
            tls=session.ssl is not None,
            login=session.auth_data.decode() if session.authenticated else None,
            connection=session.peer[1],
        )
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    is_right = (data.login.decode(), data.password.decode()) == (told["username"], told["password"])
    say(login=data.login.decode(), tls=session.ssl is not None, right=is_right)
    return AuthResult(success=is_right, handled=False, auth_data=data.login)


async def main():
    context = None
    if told["mode"] != "plain":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(told["certificate"], told["key"])
    login = {}
    if "username" in told:
        login = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": told["mode"] == "starttls"}
    handler, loop = Handler(), asyncio.get_running_loop()

    def serve():
        starttls = context if told["mode"] == "starttls" else None
        return SMTP(
            handler,
            hostname="mail.test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            enable_SMTPUTF8=False,
            loop=loop,
            **login,
        )

    wrapped = context if told["mode"] == "tls" else None
    server = await loop.create_server(serve, "127.0.0.1", told.get("port", 0), ssl=wrapped)
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
