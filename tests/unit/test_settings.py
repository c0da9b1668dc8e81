"""The configuration file: what is accepted, what is refused in one line, and what never leaks."""

import logging
import pickle
import re
import traceback
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from adapters.keys import SealSigner, Secret
from adapters.settings import BetBrothers, FizzyBubbly, Gpas, Marbles, SealSettings, Settings
from adapters.settings_file import load
from adapters.settings_reader import SettingsError
from adapters.telemetry import render
from ledger.commands import Policy
from ledger.money import Currency

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "deploy" / "demo.toml"
CANARY = "canary-7f3a91d2"

BETBROTHERS = '[integrations.b]\nprotocol = "betbrothers"\nsecrets = ["s"]\n'
GPAS = '[integrations.gpas]\nprotocol = "gpas"\nparent_system_id = "X"\nsecrets = ["s"]\n'
FIZZYBUBBLY = (
    '[integrations.f]\nprotocol = "fizzybubbly"\npublic_key = "p"\nsecrets = ["s"]\n'
    'base_url = "https://casino.example/f/"\n'
)
MARBLES = (
    '[integrations.m]\nprotocol = "marbles"\npublic_keys = ["file:public.pem"]\n'
    'signing_key = "file:private.pem"\n'
)


ODD_CURVE = """-----BEGIN PUBLIC KEY-----
MDIwEAYHKoZIzj0CAQYFK4EEAAYDHgAEMjCyJMHefsQlq6CfOYCFMJIDIZO5rqEY
7vB7XA==
-----END PUBLIC KEY-----
"""
"""A key on secp112r1, which the library does not support."""


Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@pytest.fixture(scope="module")
def pems() -> dict[str, str]:
    """PEM texts of keys made for this run."""

    def private(key: Private) -> str:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    def public(key: Private) -> str:
        return (
            key.public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            .decode()
        )

    strong = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    curve = ec.generate_private_key(ec.SECP256R1())
    seals, earlier = (ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    return {
        "seals-private.pem": private(seals),
        "seals-public.pem": public(seals),
        "earlier-public.pem": public(earlier),
        "private.pem": private(strong),
        "public.pem": public(strong),
        "weak.pem": public(weak),
        "curve.pem": public(curve),
        "curve-private.pem": private(curve),
        "weak-private.pem": private(weak),
        "odd.pem": ODD_CURVE,
    }


@pytest.fixture
def read(tmp_path, pems):
    """Read a configuration text as a file that only its owner may read."""

    def read_text(text: str, **environment: str) -> Settings:
        for name, pem in pems.items():
            (tmp_path / name).write_text(pem)
            (tmp_path / name).chmod(0o600)
        file = tmp_path / "wallet-ledger.toml"
        file.write_text(text)
        file.chmod(0o600)
        return load(file, environment)

    return read_text


def test_an_empty_file_gives_the_documented_defaults(read, tmp_path):
    """Somebody who configures nothing gets a local server on its own database, open to nobody."""
    settings = read("")
    assert (settings.server.host, settings.server.port, settings.server.workers) == (
        "127.0.0.1",
        8080,
        1,
    )
    assert settings.database.url is None
    assert settings.database.data_dir == tmp_path / "var" / "postgres"
    assert settings.database.partitions == 1
    assert settings.integrations == {}
    assert settings.operator_tokens == ()
    assert settings.limits.queue_commands_max == 10_000
    assert settings.limits.body_bytes_max == 65_536
    assert settings.limits.round_expiry_h == 48
    assert settings.demo is None
    assert settings.warnings == ()


def test_without_a_file_the_defaults_hold(tmp_path, monkeypatch):
    """The first start of a curious person must not fail for want of a file."""
    monkeypatch.chdir(tmp_path)
    assert load() == Settings()


def test_without_a_name_the_file_in_the_working_directory_is_read(tmp_path, monkeypatch):
    """One place to look, and it is said in --help."""
    (tmp_path / "wallet-ledger.toml").write_text("[server]\nport = 9001\n")
    monkeypatch.chdir(tmp_path)
    assert load().server.port == 9001


def test_every_protocol_reads_its_own_keys(read):
    """What an adapter gets is complete and typed: it checks nothing again."""
    settings = read(BETBROTHERS + GPAS + FIZZYBUBBLY + MARBLES)
    betbrothers, gpas = settings.integrations["b"], settings.integrations["gpas"]
    fizzybubbly, marbles = settings.integrations["f"], settings.integrations["m"]
    assert isinstance(betbrothers, BetBrothers)
    assert [secret.reveal() for secret in betbrothers.secrets] == ["s"]
    assert isinstance(gpas, Gpas)
    assert (gpas.parent_system_id, gpas.replay) == ("X", "success")
    assert isinstance(fizzybubbly, FizzyBubbly)
    assert fizzybubbly.public_key.reveal() == "p"
    assert fizzybubbly.base_url == "https://casino.example/f"
    assert isinstance(marbles, Marbles)
    assert marbles.public_keys[0].id == marbles.signing_key.id
    for integration in settings.integrations.values():
        assert integration.policy == Policy()
        assert integration.replay_balance == "original"
        assert integration.allow_ips == ()


def test_every_switch_of_an_integration_is_read(read):
    """A switch that is written down and not read would move real money the wrong way."""
    settings = read(
        BETBROTHERS
        + 'replay_balance = "current"\nlate_bet = "accept"\nlate_win = "accept"\n'
        + 'reversal_shortfall = "clamp"\nstake_order = "bonus_first"\nsession_ttl_s = 60\n'
        + 'allow_ips = ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]\n'
    )
    integration = settings.integrations["b"]
    assert integration.replay_balance == "current"
    assert integration.policy == Policy(
        session_ttl_s=60,
        late_bet="accept",
        late_win="accept",
        reversal_shortfall="clamp",
        stake_order="bonus_first",
    )
    assert integration.allow_ips == (
        ip_network("192.0.2.7/32"),
        ip_network("10.0.0.0/8"),
        ip_network("2001:db8::/32"),
    )


def test_currencies_beyond_iso_and_finer_ones_are_read(read):
    """A token needs its exponent; a known currency may get more digits and keeps ISO's exponent."""
    settings = read("[currencies]\nUSDT = {exponent = 6}\nEUR = {scale = 8}\n")
    assert settings.currencies["USDT"] == Currency("USDT", 6, 6)
    assert settings.currencies["EUR"] == Currency("EUR", 2, 8)
    assert settings.currencies["JPY"] == Currency("JPY", 0, 5)


def test_operator_tokens_carry_role_and_expiry_in_utc(read):
    """Expiry is compared with a UTC clock; a token without one lives until it is taken out."""
    settings = read(
        '[operator]\ntokens = [{name = "a", role = "viewer", token = "t1"},\n'
        ' {name = "b", role = "admin", token = "t2", expires = 2030-01-01T02:00:00+02:00}]\n'
    )
    first, second = settings.operator_tokens
    assert (first.name, first.role, first.expires) == ("a", "viewer", None)
    assert (second.role, second.expires) == ("admin", datetime(2030, 1, 1, tzinfo=UTC))


def test_secrets_come_from_the_environment_and_from_files(read, tmp_path):
    """Neither the process list nor the configuration file has to hold a secret."""
    (tmp_path / "new").write_text("from file\n")
    (tmp_path / "new").chmod(0o600)
    settings = read(
        BETBROTHERS.replace('["s"]', '["env:BB_SECRET", "file:new"]'), BB_SECRET="from env"
    )
    integration = settings.integrations["b"]
    assert isinstance(integration, BetBrothers)
    assert [secret.reveal() for secret in integration.secrets] == ["from env", "from file"]
    assert len({secret.id for secret in integration.secrets}) == 2


def test_the_database_url_may_be_a_secret(read):
    """It holds a password, so it is read and printed as one."""
    settings = read(
        '[database]\nurl = "env:DB"\nmigrate_url = "postgresql://owner@db/ledger"\n',
        DB=f"postgresql://app:{CANARY}@db/ledger",
    )
    assert settings.database.url is not None
    assert settings.database.migrate_url is not None
    assert settings.database.url.reveal() == f"postgresql://app:{CANARY}@db/ledger"
    assert CANARY not in repr(settings)
    assert settings.warnings == ()


BAD = [
    ("nonsense = 1", "nonsense: unknown key"),
    ("[server]\nprot = 1", "server.prot: unknown key"),
    ('"odd key" = 1', '"odd key": unknown key'),
    ("server = 3", "server: expected a table, got a number"),
    ("[server]\nport = 99999", "server.port: expected a whole number from 0 to 65535, got 99999"),
    ("[server]\nport = true", "server.port: expected a whole number from 0 to 65535, got true"),
    (
        '[server]\nport = "80"',
        'server.port: expected a whole number from 0 to 65535, got "80"',
    ),
    ('[server]\nhost = ""', 'server.host: expected a string that is not empty, got ""'),
    ('[database]\ndata_dir = "a\\u0000b"', "database.data_dir: holds NUL"),
    (
        '[database]\ndata_dir = "~nobody-of-that-name/x"',
        "database.data_dir: Could not determine home directory.",
    ),
    (
        "[server]\nport = 0\nworkers = 2",
        "server.port: 0 gives each of several workers another port",
    ),
    (
        '[server]\ntrusted_proxies = ["::ffff:10.0.0.0/104"]',
        'server.trusted_proxies[0]: expected an address or a network, got "::ffff:10.0.0.0/104"',
    ),
    ("[server]\nworkers = 0", "server.workers: expected a whole number from 1 to 256, got 0"),
    (
        '[server]\ntrusted_proxies = ["10.0.0.1/8"]',
        'server.trusted_proxies[0]: expected an address or a network, got "10.0.0.1/8"',
    ),
    (
        '[database]\nurl = "mysql://u:hidden@h/d"',
        (
            "database.url: expected a PostgreSQL URL (postgresql://...),"
            " special characters in its password percent-encoded"
        ),
    ),
    (
        '[database]\nurl = "postgresql://app:half/hidden@db/ledger"',
        (
            "database.url: expected a PostgreSQL URL (postgresql://...),"
            " special characters in its password percent-encoded"
        ),
    ),
    ("[database]\nurl = 1", "database.url: expected a string that is not empty, got a number"),
    (
        "[database]\npartitions = 0",
        "database.partitions: expected a whole number from 1 to 100, got 0",
    ),
    ("[operator]\ntokens = 1", "operator.tokens: expected a list, got a number"),
    ('[operator]\ntokens = ["x"]', "operator.tokens[0]: expected a table, got a string"),
    ('[operator]\ntokens = [{role = "admin", token = "t"}]', "operator.tokens[0].name: required"),
    (
        '[operator]\ntokens = [{name = "a", token = "t"}]',
        'operator.tokens[0].role: required: "viewer" or "operator" or "admin"',
    ),
    (
        '[operator]\ntokens = [{name = "a", role = "root", token = "t"}]',
        'operator.tokens[0].role: expected "viewer" or "operator" or "admin", got "root"',
    ),
    ('[operator]\ntokens = [{name = "a", role = "admin"}]', "operator.tokens[0].token: required"),
    (
        '[operator]\ntokens = [{name = "a", role = "admin", token = "t", expires = 2030-01-01}]',
        (
            "operator.tokens[0].expires: expected a date and time with an offset such as"
            " 2030-01-31T12:00:00Z, got 2030-01-01"
        ),
    ),
    (
        (
            '[operator]\ntokens = [{name = "a", role = "admin", token = "t"},'
            '{name = "a", role = "admin", token = "u"}]'
        ),
        'operator.tokens[1].name: "a" is taken by another token',
    ),
    (
        (
            '[operator]\ntokens = [{name = "a", role = "admin", token = "t"},'
            '{name = "b", role = "admin", token = "t"}]'
        ),
        "operator.tokens[1].token: the same value as another token",
    ),
    (
        GPAS + 'replay = "maybe"',
        'integrations.gpas.replay: expected "success" or "error", got "maybe"',
    ),
    (GPAS + 'public_keys = ["x"]', "integrations.gpas.public_keys: unknown key"),
    (BETBROTHERS + 'replay = "error"', "integrations.b.replay: unknown key"),
    (
        "[integrations.b]\nsecrets = []",
        'integrations.b.protocol: required: "betbrothers" or "marbles" or "gpas" or "fizzybubbly"',
    ),
    (
        '[integrations.b]\nprotocol = "soap"',
        (
            'integrations.b.protocol: expected "betbrothers" or "marbles" or "gpas"'
            ' or "fizzybubbly", got "soap"'
        ),
    ),
    (
        '[integrations.b]\nprotocol = "betbrothers"',
        "integrations.b.secrets: required: a list of 1 to 2 values",
    ),
    (
        BETBROTHERS.replace('["s"]', '["a", "b", "c"]'),
        "integrations.b.secrets: required: a list of 1 to 2 values, got 3",
    ),
    (
        BETBROTHERS.replace('["s"]', '["a", "a"]'),
        "integrations.b.secrets: the same value twice",
    ),
    (BETBROTHERS.replace('["s"]', '"s"'), "integrations.b.secrets: expected a list, got a string"),
    (
        BETBROTHERS.replace('["s"]', "[7]"),
        "integrations.b.secrets[0]: expected a string that is not empty, got a number",
    ),
    (
        BETBROTHERS.replace('["s"]', '[""]'),
        "integrations.b.secrets[0]: expected a string that is not empty, got a string",
    ),
    (
        BETBROTHERS.replace('["s"]', '["env:NOT_THERE"]'),
        'integrations.b.secrets[0]: environment variable "NOT_THERE" is not set',
    ),
    (
        BETBROTHERS.replace('["s"]', '["env:EMPTY"]'),
        "integrations.b.secrets[0]: the secret is empty",
    ),
    (
        BETBROTHERS.replace('["s"]', '["env:ECHOED"]'),
        "integrations.b.secrets[0]: the secret begins or ends with white space",
    ),
    (
        '[database]\nurl = " postgresql://db/ledger"',
        "database.url: the secret begins or ends with white space",
    ),
    (
        '[database]\nmigrate_url = "postgresql://owner@db/ledger"',
        "database.migrate_url: needs database.url, of the same database",
    ),
    (
        BETBROTHERS.replace('["s"]', '["file:nowhere"]'),
        'integrations.b.secrets[0]: cannot read file "nowhere": No such file or directory',
    ),
    (
        BETBROTHERS + "session_ttl_s = 0",
        "integrations.b.session_ttl_s: expected a whole number from 1 to 31622400, got 0",
    ),
    (
        BETBROTHERS + 'late_bet = "later"',
        'integrations.b.late_bet: expected "refuse" or "accept", got "later"',
    ),
    (
        BETBROTHERS + 'allow_ips = "10.0.0.1"',
        "integrations.b.allow_ips: expected a list, got a string",
    ),
    (
        BETBROTHERS + "allow_ips = [1]",
        "integrations.b.allow_ips[0]: expected an address or a network, got 1",
    ),
    (
        BETBROTHERS.replace("integrations.b", "integrations.api"),
        (
            "integrations.api: not a name for an integration: a-z, 0-9, _ and - only, and none of"
            " api, console, health, metrics, operator"
        ),
    ),
    (
        BETBROTHERS.replace("integrations.b", "integrations.Bad"),
        (
            "integrations.Bad: not a name for an integration: a-z, 0-9, _ and - only, and none of"
            " api, console, health, metrics, operator"
        ),
    ),
    ("integrations = 1", "integrations: expected a table, got a number"),
    ("[integrations]\nb = 1", "integrations.b: expected a table, got a number"),
    (
        GPAS.replace('parent_system_id = "X"\n', ""),
        "integrations.gpas.parent_system_id: required",
    ),
    (
        MARBLES.replace("file:public.pem", "no key"),
        "integrations.m.public_keys[0]: expected a PEM public key",
    ),
    (
        MARBLES.replace("file:public.pem", "file:curve.pem"),
        "integrations.m.public_keys[0]: expected an RSA public key, got another kind",
    ),
    (
        MARBLES.replace("file:private.pem", "file:public.pem"),
        "integrations.m.signing_key: expected a PEM private key without a passphrase",
    ),
    (
        MARBLES.replace("file:private.pem", "file:curve-private.pem"),
        "integrations.m.signing_key: expected an RSA private key, got another kind",
    ),
    (
        MARBLES.replace('signing_key = "file:private.pem"\n', ""),
        "integrations.m.signing_key: required",
    ),
    (
        MARBLES.replace("file:private.pem", "file:weak-private.pem"),
        "integrations.m.signing_key: has 1024 bits only: make one of 2048",
    ),
    (
        MARBLES.replace("file:public.pem", "file:odd.pem"),
        "integrations.m.public_keys[0]: expected a PEM public key",
    ),
    (
        GPAS.replace('"X"', '" X"'),
        (
            "integrations.gpas.parent_system_id: expected a string without white space at its"
            ' ends, got " X"'
        ),
    ),
    (
        BETBROTHERS.replace('"s"', '"env:LATIN"'),
        "integrations.b.secrets[0]: the secret is not UTF-8 text",
    ),
    ("a = " + "[" * 3_000, "not a TOML file: nested too deep"),
    *(
        (
            FIZZYBUBBLY.replace("https://casino.example/f/", url),
            (
                "integrations.f.base_url: expected an absolute http or https URL"
                " without user, query or fragment"
            ),
        )
        for url in (
            "casino.example/f",
            "ftp://casino.example",
            "https://user@casino.example",
            "https://casino.example/?a=b",
            "https://[casino",
            "https://casino.example/a b",
            "https://casino.example:99999",
        )
    ),
    (
        "[currencies.USDT]\nscale = 6",
        "currencies.USDT.exponent: required: ISO 4217 does not know USDT",
    ),
    (
        "[currencies.EUR]\nscale = 3",
        "currencies.EUR.scale: expected a whole number from 5 to 12, got 3",
    ),
    (
        '[currencies."E R"]\nexponent = 3',
        'currencies."E R": expected a code of 2 to 12 letters and digits',
    ),
    ("[currencies.Eur]\nexponent = 2", "currencies.Eur: ISO 4217 writes it EUR"),
    (
        "[limits]\nqueue_commands_max = 0",
        "limits.queue_commands_max: expected a whole number from 1 to 1000000, got 0",
    ),
    (
        '[limits]\nbody_timeout_s = "5"',
        'limits.body_timeout_s: expected a number of seconds from 0.1 to 60, got "5"',
    ),
    (
        "[limits]\nbody_timeout_s = nan",
        "limits.body_timeout_s: expected a number of seconds from 0.1 to 60, got nan",
    ),
    (
        "[limits]\nbody_bytes_max = 65537",
        "limits.body_bytes_max: expected a whole number from 1024 to 65536, got 65537",
    ),
    (
        "[limits]\ncommand_age_max_s = 3\nanswer_timeout_s = 3",
        "limits.answer_timeout_s: expected more than limits.command_age_max_s (3), got 3",
    ),
    (
        '[demo]\nplayers = [{player_id = "a", currency = "XAU"}]',
        "demo.players[0].currency: expected an ISO 4217 code or one of [currencies]",
    ),
    (
        '[demo]\nplayers = [{player_id = "a", currency = "EUR", deposit = "ten"}]',
        "demo.players[0].deposit: amount is not a decimal number",
    ),
    ('[demo.provider_keys]\nnobody = "x"', "demo.provider_keys.nobody: unknown key"),
    (
        '[server]\nhost = "a\\nb"\nport = -1',
        "server.port: expected a whole number from 0 to 65535, got -1",
    ),
    (
        BETBROTHERS + 'late_bet = "two\\nlines' + "x" * 100 + '"',
        'integrations.b.late_bet: expected "refuse" or "accept", got "two\\nlines'
        + "x" * 49
        + "...",
    ),
    (
        "[server",
        "not a TOML file: Expected ']' at the end of a table declaration (at end of document)",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD)
def test_a_bad_file_is_refused_in_one_line_that_names_the_key(read, text, message):
    """Whoever starts the service must know at once which line to mend."""
    with pytest.raises(SettingsError) as caught:
        read(text, EMPTY="", ECHOED="s\n", LATIN="s\udce9")
    assert str(caught.value) == message


def test_a_file_that_is_not_there_is_said_to_be_so(tmp_path):
    """Falling back to defaults would start a server without any of the wanted integrations."""
    with pytest.raises(SettingsError, match=r"^cannot read the file: No such file or directory$"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_with_secrets_that_others_may_read_is_warned_about(tmp_path, mode, warned):
    """A secret in a file that everybody reads is no secret; the start goes on all the same."""
    file = tmp_path / "w.toml"
    file.write_text(BETBROTHERS)
    file.chmod(mode)
    warnings = load(file, {}).warnings
    assert bool(warnings) is warned
    if warned:
        assert warnings == (
            f"secrets are readable by others than the owner, chmod 600 them: {file}",
        )


def test_a_file_without_secrets_of_its_own_may_be_read_by_all(tmp_path):
    """References to secrets, a URL without a password and public keys are nothing to hide."""
    file = tmp_path / "w.toml"
    file.write_text(
        BETBROTHERS.replace('"s"', '"env:S"') + '[database]\nurl = "postgresql://app@db/ledger"\n'
    )
    file.chmod(0o644)
    assert load(file, {"S": "x"}).warnings == ()


@pytest.mark.parametrize("url", ["postgresql://app:pw@db/ledger", "host=db password=pw"])
def test_a_database_password_in_the_file_counts_as_a_secret(tmp_path, url):
    """It opens the ledger as surely as a token does."""
    file = tmp_path / "w.toml"
    file.write_text(f'[database]\nurl = "{url}"\n')
    file.chmod(0o644)
    assert len(load(file, {}).warnings) == 1


def test_a_secret_file_that_others_may_read_is_warned_about(tmp_path):
    """The reference moves the secret; the question who reads it stays the same."""
    (tmp_path / "secret").write_text("s")
    (tmp_path / "secret").chmod(0o644)
    file = tmp_path / "w.toml"
    file.write_text(BETBROTHERS.replace('"s"', '"file:secret"'))
    file.chmod(0o644)
    (warning,) = load(file, {}).warnings
    assert warning.endswith(f": {tmp_path / 'secret'}")


def test_a_short_key_of_the_provider_is_warned_about(read):
    """The provider chooses its key; refusing it would stop play, silence would hide the risk."""
    (warning,) = read(MARBLES.replace("file:public.pem", "file:weak.pem")).warnings
    assert re.search(r"integrations\.m\.public_keys: key [0-9a-f]{8} has 1024 bits only", warning)


def test_a_secret_never_prints_itself(read):
    """Settings end up in logs, tracebacks and debuggers; secrets must not come along."""
    settings = read(
        BETBROTHERS.replace('"s"', f'"{CANARY}"')
        + FIZZYBUBBLY.replace('"p"', f'"{CANARY}"')
        + f'[operator]\ntokens = [{{name = "a", role = "admin", token = "{CANARY}"}}]\n'
    )
    secret = settings.operator_tokens[0].token
    for text in (
        repr(settings),
        str(settings),
        f"{secret}",
        "%s" % secret,  # noqa: UP031 - every way of formatting
        render("info", {"event": "x", "settings": settings, "value": secret}).decode(),
        logging.LogRecord("n", 30, "p", 1, "%s", (secret,), None).getMessage(),
    ):
        assert CANARY not in text
    assert secret.id in repr(secret)
    assert secret == Secret(CANARY)
    assert secret != Secret("other")


def test_a_secret_cannot_be_pickled():
    """It would leave the process in the clear."""
    import pickle

    with pytest.raises(TypeError, match="not to be pickled"):
        pickle.dumps(Secret(CANARY))


@pytest.mark.parametrize(
    "text",
    [
        f'[database]\nurl = "mysql://u:{CANARY}@h/d"',
        BETBROTHERS.replace('"s"', f'"{CANARY}", "{CANARY}"'),
        BETBROTHERS.replace('["s"]', f'{{x = "{CANARY}"}}'),
        MARBLES.replace("file:public.pem", CANARY),
        MARBLES.replace("file:private.pem", CANARY),
        f'[operator]\ntokens = [{{name = "a", role = "admin", token = ["{CANARY}"]}}]',
        f'[operator]\ntokens = ["{CANARY}"]',
    ],
)
def test_an_error_about_a_secret_never_holds_it(read, text):
    """The one line goes to terminals, tickets and logs, and so does its traceback."""
    with pytest.raises(SettingsError) as caught:
        read(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in str(caught.value)
    assert CANARY not in shown.replace(text, "")


def test_the_demo_configuration_is_complete():
    """`make run` must work as it is: four integrations, three roles, players with money."""
    settings = load(DEMO, {})
    assert {name: type(found) for name, found in settings.integrations.items()} == {
        "betbrothers": BetBrothers,
        "marbles": Marbles,
        "gpas": Gpas,
        "fizzybubbly": FizzyBubbly,
    }
    assert {token.role for token in settings.operator_tokens} == {"viewer", "operator", "admin"}
    assert settings.demo is not None
    assert all(player.deposit > 0 for player in settings.demo.players)
    assert len({player.player_id for player in settings.demo.players}) >= 4
    marbles = settings.integrations["marbles"]
    assert isinstance(marbles, Marbles)
    assert settings.demo.provider_keys["marbles"].id == marbles.public_keys[0].id
    assert settings.database.data_dir == ROOT / "var" / "postgres"
    assert any("demo" in line for line in settings.warnings)


def test_demo_keys_are_marked_as_such():
    """Nobody who finds the file alone may take it for a key to use."""
    for file in (DEMO.parent / "demo").glob("*.pem"):
        assert file.read_text().startswith("DEMO ONLY"), file


README = ROOT / "README.md"


def test_nothing_is_sealed_unless_a_key_is_configured(read):
    """Seals with a key that everybody has would prove nothing: there is no default."""
    settings = read("")
    assert settings.seals == SealSettings()
    assert (settings.seals.key, settings.seals.keys) == (None, {})
    assert not settings.seals_in_serve


def test_every_key_of_the_seals_is_read(read, tmp_path):
    """A key that was passed over would leave the log unsealed, or the seals uncopied."""
    settings = read(
        '[seals]\nkey = "file:seals-private.pem"\npublic_keys = ["file:earlier-public.pem"]\n'
        'interval_s = 0.5\nin_serve = false\ncopy_to = "copies"\n'
    ).seals
    assert settings.key is not None
    (earlier,) = settings.public_keys
    assert settings.keys == {earlier.id: earlier, settings.key.id: settings.key.verifier}
    assert settings.key.verifier.verifies(settings.key.sign(b"message"), b"message")
    assert not earlier.verifies(settings.key.sign(b"message"), b"message")
    assert (settings.interval_s, settings.in_serve) == (0.5, False)
    assert settings.copy_to == tmp_path / "copies"


@pytest.mark.parametrize(("in_serve", "expected"), [("true", True), ("false", False)])
def test_the_service_seals_unless_another_process_does(in_serve, expected, read):
    """As it is with the views."""
    settings = read(f'[seals]\nkey = "file:seals-private.pem"\nin_serve = {in_serve}\n')
    assert settings.seals_in_serve is expected


def test_an_auditor_needs_the_public_key_only(read):
    """Who verifies should not be able to seal."""
    settings = read('[seals]\npublic_keys = ["file:seals-public.pem"]\n')
    assert len(settings.seals.keys) == 1
    assert not settings.seals_in_serve


def test_the_own_public_key_may_stand_among_the_others(read):
    """One list for all machines."""
    settings = read(
        '[seals]\nkey = "file:seals-private.pem"\npublic_keys = ["file:seals-public.pem"]\n'
    )
    assert settings.seals.key is not None
    assert list(settings.seals.keys) == [settings.seals.key.id]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('key = "file:private.pem"', "seals.key: expected an Ed25519 private key"),
        ('key = "file:curve-private.pem"', "seals.key: expected an Ed25519 private key"),
        ('key = "file:seals-public.pem"', "seals.key: expected a PEM private key"),
        (f'key = "{CANARY}"', "seals.key: expected a PEM private key"),
        ('key = ""', "seals.key: "),
        ("key = 7", "seals.key: "),
        ('key = "file:missing.pem"', "seals.key: cannot read file"),
        ('key = "env:SEALS_KEY"', "seals.key: environment variable"),
        ('public_keys = "file:seals-public.pem"', "seals.public_keys: "),
        ('public_keys = ["file:public.pem"]', "seals.public_keys[0]: expected an Ed25519"),
        ('public_keys = ["file:seals-private.pem"]', "seals.public_keys[0]: expected a PEM pub"),
        ('public_keys = ["file:missing.pem"]', "seals.public_keys[0]: cannot read file"),
        (
            'public_keys = ["file:seals-public.pem", "file:seals-public.pem"]',
            "seals.public_keys: the same value twice",
        ),
        ("interval_s = 0.09", "seals.interval_s: "),
        ("interval_s = 3601", "seals.interval_s: "),
        ("interval_s = 0", "seals.interval_s: "),
        ("interval_s = nan", "seals.interval_s: "),
        ('interval_s = "5"', "seals.interval_s: "),
        ('in_serve = "yes"', "seals.in_serve: "),
        ("copy_to = 7", "seals.copy_to: "),
        ('copy_to = ""', "seals.copy_to: "),
        ('copy_to = "~nobody-of-that-name/copies"', "seals.copy_to: "),
        ('copies_to = "copies"', "copies_to"),
    ],
)
def test_what_is_wrong_with_the_seals_is_named_in_one_line(line, message, read):
    """Before the start: a service that does not seal looks like one that does."""
    with pytest.raises(SettingsError) as raised:
        read(f"[seals]\n{line}\n")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert CANARY not in str(raised.value)


def test_the_key_of_the_seals_never_shows(read, pems):
    """Whoever has it can seal whatever he likes."""
    key = read('[seals]\nkey = "file:seals-private.pem"\n').seals.key
    secret = pems["seals-private.pem"].splitlines()[1]
    for shown in (repr(key), str(key), f"{key}", str([key]), repr(SealSettings(key=key))):
        assert key.id in shown
        assert secret not in shown
    with pytest.raises(TypeError):
        pickle.dumps(key)
    assert SealSigner(pems["seals-private.pem"]).id == key.id
