"""A Hugging Face Hub on this machine, as far as the Hub's own client talks to it, with a second port as its storage.

It keeps to the shapes that huggingface_hub 2.4 sends and expects without Xet. Real sockets; nothing is patched.
"""

import base64
import hashlib
import json
import os
import re
import secrets
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from mimetypes import guess_type
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import pytest
import yaml

from spotter.errors import (
    SpotterError,
)

OWNER = "anna"
WRITER = "hf_WriteSecretOfAnna"
READER = "hf_ReadSecretOfAnna"
FINE = "hf_FineSecretOfAnna"
STRANGER = "hf_SecretOfBert"
LFS_SUFFIXES = (".gz", ".onnx", ".pkl", ".safetensors", ".png")
SDKS = ("gradio", "docker", "static")
COLORS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
COMMITS_A_PAGE = 3
# Pages of other origins may use it.
SHARED = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "X-Error-Message, X-Request-Id"}
ANY = "authorization, content-type, accept, x-request-id"
# Seconds after which a silent connection is let go, so that no test hangs.
LONGEST_SILENCE = 600


@dataclass(frozen=True)
class Request:
    """What the client asked. `token` is None without an Authorization header."""

    method: str
    path: str
    query: dict[str, str]
    token: str | None
    headers: dict[str, str]
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """What the Hub says. `cut` closes the connection instead, `silent` says nothing more until the Hub is closed; both
    in the middle of the body if there is one, otherwise before anything."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False


LOST, SILENT = Answer(cut=True), Answer(silent=True)
Fault = Callable[[Request, Callable[[Request], Answer]], Answer]


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    message: str
    files: dict[str, bytes]
    date: str


@dataclass
class Repo:
    """A repository with one branch; the rest is for Spaces.

    `stages` are the answers to the next questions about what a Space does, the last one for ever; without "sha" it is
    the newest commit.
    """

    private: bool = False
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    host: str = ""
    sdk: str = "gradio"
    hardware: str | None = "cpu-basic"
    variables: dict[str, str] = field(default_factory=dict)
    stages: list[dict] = field(default_factory=lambda: [{"stage": "RUNNING"}])
    log: str = ""
    restarts: int = 0
    # Whether an app made it for somebody: with the scope "contribute-repos" it gets at no others.
    app: bool = False

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    @property
    def oauth(self) -> dict[str, str]:
        """What a Space gets whose card asks for a sign-in."""
        card = read_card(self.head.files)
        scopes = " ".join(["openid", "profile", *card.get("hf_oauth_scopes", [])])
        return {"OAUTH_CLIENT_ID": f"client of {self.host}", "OAUTH_SCOPES": scopes} if card.get("hf_oauth") else {}

    def add(self, title: str, files: dict[str, bytes], message: str = "") -> Commit:
        number = len(self.commits)
        listing = json.dumps([title, number, {name: git_oid(content) for name, content in sorted(files.items())}])
        date = f"2026-01-01T{number // 60:02}:{number % 60:02}:00.000Z"
        self.commits.append(
            Commit(hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest(), title, message, files, date)
        )
        return self.head

    def find(self, revision: str) -> Commit | None:
        wanted = self.tags.get(revision, revision)
        if wanted == "main":
            return self.head
        return next((commit for commit in self.commits if commit.oid == wanted), None)


class Hub:
    """`with running_hub() as hub:`; `hub.url` is its address, `hub.repos` what it holds, Spaces as "spaces/owner/name",
    and `hub.requests` what was asked.

    `hub.fault` may answer in place of a request: it is given the request and the function that would answer it.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.users = {
            WRITER: (OWNER, "write"),
            READER: (OWNER, "read"),
            FINE: (OWNER, "fineGrained"),
            STRANGER: ("bert", "write"),
        }
        self.storage: dict[str, bytes] = {}
        # As in addresses that a cloud store signs: who has no such word neither reads nor writes there.
        self.signatures: dict[str, str] = {}
        self.requests: list[Request] = []
        self.storage_requests: list[Request] = []
        self.fault: Fault | None = None
        self.wants_money = False
        # Whether whoever signs in on a page lets it do what it asks for.
        self.consents = True
        # Code -> what was asked with it.
        self.codes: dict[str, dict[str, str]] = {}
        self.space_host = ""
        # May change what a static Space gives: the path in it, and the content; None is "not there".
        self.on_the_way: Callable[[str, bytes], bytes | None] = lambda path, content: content
        self._turn = threading.RLock()
        self._closing = threading.Event()
        self._hub = _serve(self._answer, self._closing)
        self._store = _serve(self._answer_storage, self._closing)
        self._static = _serve(self._answer_static, self._closing)
        self.url = f"http://127.0.0.1:{self._hub.server_address[1]}"
        self.storage_url = f"http://127.0.0.1:{self._store.server_address[1]}"
        self.static_url = f"http://127.0.0.1:{self._static.server_address[1]}"

    def close(self) -> None:
        self._closing.set()
        for server in (self._hub, self._store, self._static):
            server.shutdown()
            server.server_close()

    def asked(self, pattern: str) -> int:
        """How many requests look like `pattern`."""
        return sum(bool(re.search(pattern, str(request))) for request in (*self.requests, *self.storage_requests))

    def forget(self) -> None:
        self.requests.clear()
        self.storage_requests.clear()

    def _answer(self, request: Request) -> Answer:
        self.requests.append(request)
        return self.fault(request, self._route) if self.fault else self._route(request)

    def _answer_storage(self, request: Request) -> Answer:
        self.storage_requests.append(request)
        return self.fault(request, self._store_or_give) if self.fault else self._store_or_give(request)

    def _store_or_give(self, request: Request) -> Answer:
        if request.token:
            return error(400, "a token has no business here")
        oid = request.path.removeprefix("/")
        if self.signatures.get(request.query.get("signature", "")) != f"{request.method} {oid}":
            return error(403, "the address is not signed")
        with self._turn:
            if request.method == "PUT":
                if hashlib.sha256(request.body).hexdigest() != oid:
                    return error(400, "not what was announced")
                self.storage[oid] = request.body
                return Answer()
            content = self.storage[oid]
        start = int(re.sub(r"\D", "", request.headers.get("range", "0").partition("-")[0]))
        if start:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return Answer(206, content[start:], {"Content-Range": span})
        return Answer(200, content)

    def _answer_static(self, request: Request) -> Answer:
        """What a static Space serves: the files of its newest commit, with the headers that its card asks for, and its
        variables put into pages."""
        if request.token:
            return error(400, "a token has no business here")
        owner, name, path = request.path.removeprefix("/").split("/", 2)
        with self._turn:
            repo = self.repos.get(f"spaces/{owner}/{name}")
            if repo is None or repo.sdk != "static":
                return error(404, "no such static Space")
            files, path = repo.head.files, f"{path}index.html" if path.endswith("/") or not path else path
            content = self.on_the_way(path, files[path]) if path in files else None
            if content is None:
                return error(404, "no such file")
            if path.endswith(".html"):
                script = f"<script>window.huggingface={{variables:{json.dumps(repo.variables | repo.oauth)}}};</script>"
                content = content.replace(b"<head>", f"<head>{script}".encode(), 1)
            asked = read_card(files).get("custom_headers", {})
            kind = SimpleHTTPRequestHandler.extensions_map.get(Path(path).suffix) or guess_type(path)[0]
            return Answer(200, content, {"Content-Type": kind or "application/octet-stream", **asked})

    def _signed(self, method: str, oid: str) -> str:
        signature = secrets.token_hex(8)
        self.signatures[signature] = f"{method} {oid}"
        return f"{self.storage_url}/{oid}?signature={signature}"

    def _route(self, request: Request) -> Answer:
        with self._turn:
            if request.token and request.token not in self.users:
                return error(401, "Invalid credentials in Authorization header")
            user, role = self.users.get(request.token or "", (None, None))
            if request.path.startswith(("/oauth/", "/.well-known/")):
                return self._sign_in(request, user)
            if request.path == "/api/whoami-v2":
                return whoami(user, role) if user else error(401, "Invalid user token")
            if request.path == "/api/validate-yaml":
                return self._validate(**json.loads(request.body))
            if request.path == "/api/repos/create":
                return self._create(json.loads(request.body), user, role)
            for pattern, method in _ROUTES:
                found = re.fullmatch(pattern, f"{request.method} {request.path}")
                if found:
                    parts = {key: unquote(value) for key, value in found.groupdict().items() if value}
                    kind = parts.pop("kind", "models").rstrip("/")
                    before = "" if kind == "models" else f"{kind}/"
                    return method(self, request, user, role, **parts | {"name": f"{before}{parts['name']}"})
            return error(404, f"no such page: {request}")

    def _validate(self, content: str, repoType: str) -> Answer:
        try:
            card = yaml.safe_load(content.split("---")[1])
            problems = card_problems(card, repoType)
        except (yaml.YAMLError, IndexError) as problem:
            problems = [str(problem)[:50]]
        if problems:
            told = {"errors": [{"message": each} for each in problems], "warnings": []}
            return Answer(400, json.dumps(told).encode())
        return reply({"errors": [], "warnings": []})

    def _sign_in(self, request: Request, user: str | None) -> Answer:
        """OAuth with PKCE, for the client of a static Space, which has no secret."""
        asked = request.query
        match request.path:
            case "/.well-known/openid-configuration":
                names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
                return reply({f"{name}_endpoint": f"{self.url}/oauth/{path}" for name, path in names.items()})
            case "/oauth/authorize":
                known = {repo.oauth.get("OAUTH_CLIENT_ID"): repo for repo in self.repos.values()}
                space = known.get(asked["client_id"])
                scopes = set(asked["scope"].split()) - {"openid", "profile"}
                if space is None or not asked["redirect_uri"].startswith(f"{space.host}/"):
                    return error(400, "Invalid client or redirect_uri")
                wrong = (asked["response_type"], asked["code_challenge_method"]) != ("code", "S256")
                if wrong or not scopes <= set(space.oauth["OAUTH_SCOPES"].split()):
                    return error(400, "Invalid request")
                code = secrets.token_hex(8)
                self.codes[code] = asked
                told = {"code": code} if self.consents else {"error": "access_denied", "error_description": "no"}
                to = f"{asked['redirect_uri']}?{urlencode({**told, 'state': asked['state']})}"
                return Answer(302, b"", {"Location": to, "X-Frame-Options": "DENY"})
            case "/oauth/token":
                form = dict(parse_qsl(request.body.decode()))
                begun = self.codes.pop(form["code"], None)
                digest = hashlib.sha256(form["code_verifier"].encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
                if begun is None or (begun["code_challenge"], begun["redirect_uri"]) != (
                    challenge,
                    form["redirect_uri"],
                ):
                    return error(400, "invalid_grant")
                token = f"hf_oauth_Secret{secrets.token_hex(4)}"
                self.users[token] = (OWNER, "contribute-repos")
                return reply({"access_token": token, "expires_in": 28800, "scope": begun["scope"], "id_token": "x"})
            case "/oauth/userinfo" if user:
                return reply(
                    {"sub": "1", "name": user.title(), "preferred_username": user, "picture": "", "profile": ""}
                )
        return error(401, "Invalid credentials in Authorization header")

    def _create(self, wanted: dict, user: str | None, role: str | None) -> Answer:
        is_space = wanted.get("type") == "space"
        # Static Spaces are free.
        is_free = wanted.get("sdk") == "static" or wanted.get("hardware") in {"zero-a10g", "cpu-upgrade"}
        if self.wants_money and not is_free:
            on_cpu = "hosting Gradio Spaces on free cpu-basic requires a PRO subscription"
            return error(402, on_cpu if is_space else "Payment required to create this repository")
        if is_space and wanted.get("sdk") not in SDKS:
            return error(400, '"sdk" is required')
        owner = wanted["organization"] or user
        if role == "read" or owner != user:
            return error(403, "You don't have the rights to create a model under this namespace")
        kind = wanted.get("type", "model")
        name = f"{'' if kind == 'model' else f'{kind}s/'}{owner}/{wanted['name']}"
        body = {"url": f"{self.url}/{name}"}
        if name in self.repos:
            return Answer(409, json.dumps(body | {"error": "You already created this model repo"}).encode())
        self.repos[name] = Repo(private=wanted.get("visibility") == "private", app=role == "contribute-repos")
        self.repos[name].add("initial commit", {".gitattributes": b"*.onnx filter=lfs\n"})
        self.repos[name].sdk = wanted.get("sdk", "gradio")
        self._house(name, wanted.get("hardware", "cpu-basic"))
        return reply(body)

    def _house(self, name: str, hardware: str | None) -> None:
        """Give a Space what its kind runs on, and where."""
        repo = self.repos[name]
        is_static = repo.sdk == "static"
        repo.hardware = None if is_static else hardware
        repo.host = f"{self.static_url}/{name.removeprefix('spaces/')}" if is_static else self.space_host

    def _repo(self, name: str, user: str | None) -> Repo | Answer:
        repo = self.repos.get(name)
        if repo is None or (repo.private and user != name.split("/")[-2]):
            return error(404 if user else 401, "Repository not found", "RepoNotFound")
        return repo

    def _info(self, request: Request, user: str | None, role: str | None, name: str, rev: str = "main") -> Answer:
        repo = self._repo(name, user)
        if isinstance(repo, Answer):
            return repo
        commit = repo.find(rev)
        if commit is None:
            return error(404, "Invalid rev id", "RevisionNotFound")
        return reply(
            {
                "id": name.removeprefix("spaces/").removeprefix("datasets/"),
                "host": repo.host or None,
                "sdk": repo.sdk,
                "sha": commit.oid,
                "private": repo.private,
                "gated": "auto" if repo.gated else False,
                "lastModified": commit.date,
                "tags": [],
                "siblings": [{"rfilename": path} for path in sorted(commit.files)],
            }
        )

    def _paths_info(self, request: Request, user: str | None, role: str | None, name: str, rev: str) -> Answer:
        repo = self._repo(name, user)
        if isinstance(repo, Answer):
            return repo
        commit = repo.find(rev)
        if commit is None:
            return error(404, "Invalid rev id", "RevisionNotFound")
        paths = parse_qs(request.body.decode())["paths"]
        return reply([describe(path, commit.files[path]) for path in paths if path in commit.files])

    def _refs(self, request: Request, user: str | None, role: str | None, name: str) -> Answer:
        repo = self._repo(name, user)
        if isinstance(repo, Answer):
            return repo
        tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repo.tags.items()]
        branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.oid}]
        return reply({"branches": branches, "tags": tags, "converts": []})

    def _tag(self, request: Request, user: str | None, role: str | None, name: str, rev: str) -> Answer:
        repo = self._writable(name, user, role)
        if isinstance(repo, Answer):
            return repo
        tag, commit = json.loads(request.body)["tag"], repo.find(rev)
        if re.fullmatch(r"[0-9a-f]{40}", tag):
            return error(400, "Invalid tag name")
        if tag in repo.tags:
            return error(409, "Tag reference exists already")
        if commit is None:
            return error(404, "Invalid rev id", "RevisionNotFound")
        repo.tags[tag] = commit.oid
        return Answer()

    def _commits(self, request: Request, user: str | None, role: str | None, name: str, rev: str) -> Answer:
        repo = self._repo(name, user)
        if isinstance(repo, Answer):
            return repo
        commit = repo.find(rev)
        if commit is None:
            return error(404, "Invalid rev id", "RevisionNotFound")
        page = int(request.query.get("p", 0))
        newest_first = repo.commits[repo.commits.index(commit) :: -1]
        shown = newest_first[page * COMMITS_A_PAGE : (page + 1) * COMMITS_A_PAGE]
        more = len(newest_first) > (page + 1) * COMMITS_A_PAGE
        link = {"Link": f'<{self.url}{request.path}?p={page + 1}>; rel="next"'} if more else {}
        return reply(
            [
                {"id": c.oid, "title": c.title, "message": c.message, "date": c.date, "authors": [{"user": OWNER}]}
                for c in shown
            ],
            link,
        )

    def _writable(self, name: str, user: str | None, role: str | None) -> Repo | Answer:
        repo = self._repo(name, user)
        if isinstance(repo, Answer):
            return repo
        if user is None:
            return error(401, "Unauthorized")
        is_foreign = role == "contribute-repos" and not repo.app
        if role == "read" or is_foreign or user != name.split("/")[-2]:
            return error(403, "You need write access to this repository")
        return repo

    def _preupload(self, request: Request, user: str | None, role: str | None, name: str, rev: str) -> Answer:
        repo = self._writable(name, user, role)
        if isinstance(repo, Answer):
            return repo
        commit = repo.find(rev)
        if commit is None:
            return error(404, "Invalid rev id", "RevisionNotFound")
        ignored = commit.files.get(".gitignore", b"").decode().split()
        modes = []
        for file in json.loads(request.body)["files"]:
            path = file["path"]
            known = commit.files.get(path)
            mode = "lfs" if is_lfs(name, path) else "regular"
            is_ignored = any(fnmatch(path, pattern) for pattern in ignored)
            oid = None
            if known is not None:
                oid = hashlib.sha256(known).hexdigest() if mode == "lfs" else git_oid(known)
            modes.append({"path": path, "uploadMode": mode, "shouldIgnore": is_ignored, "oid": oid})
        return reply({"files": modes})

    def _batch(self, request: Request, user: str | None, role: str | None, name: str) -> Answer:
        repo = self._writable(name, user, role)
        if isinstance(repo, Answer):
            return repo
        asked = json.loads(request.body)
        # The client for browsers has a name of its own for it.
        how = request.headers["content-type"], asked["operation"], asked["hash_algo"].replace("_", "")
        if how != ("application/vnd.git-lfs+json", "upload", "sha256"):
            return error(422, "no such batch")
        objects = []
        for wanted in asked["objects"]:
            entry = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.storage:
                upload = {"href": self._signed("PUT", wanted["oid"])}
                entry["actions"] = {"upload": upload, "verify": {"href": f"{self.url}/{name}.git/info/lfs/verify"}}
            objects.append(entry)
        return reply({"transfer": "basic", "objects": objects})

    def _verify(self, request: Request, user: str | None, role: str | None, name: str) -> Answer:
        repo = self._writable(name, user, role)
        if isinstance(repo, Answer):
            return repo
        wanted = json.loads(request.body)
        content = self.storage.get(wanted["oid"])
        return Answer() if content is not None and len(content) == wanted["size"] else error(404, "no such object")

    def _commit(self, request: Request, user: str | None, role: str | None, name: str, rev: str) -> Answer:
        repo = self._writable(name, user, role)
        if isinstance(repo, Answer):
            return repo
        lines = [json.loads(line) for line in request.body.splitlines()]
        if request.headers["content-type"] != "application/x-ndjson" or lines[0]["key"] != "header":
            return error(400, "no such commit")
        if rev != "main":
            return error(404, "Invalid rev id", "RevisionNotFound")
        header = lines[0]["value"]
        if header.get("parentCommit", repo.head.oid) != repo.head.oid:
            return error(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.head.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                content = base64.b64decode(value["content"], validate=True)
                if content and is_lfs(name, value["path"]):
                    return error(400, f"Your push was rejected because {value['path']} must be in LFS")
                files[value["path"]] = content
            elif line["key"] == "lfsFile":
                stored = self.storage.get(value["oid"])
                if value["algo"] != "sha256" or stored is None or value.get("size", len(stored)) != len(stored):
                    return error(400, f"LFS pointer pointed to a file that does not exist: {value['path']}")
                files[value["path"]] = self.storage[value["oid"]]
            elif line["key"] == "deletedFile":
                if files.pop(value["path"], None) is None:
                    return error(404, "A file with this name doesn't exist", "EntryNotFound")
            else:
                return error(400, f"no such operation: {line['key']}")
        made = repo.add(header["summary"], files, header.get("description", ""))
        sdk = read_card(files).get("sdk")
        if name.startswith("spaces/") and sdk and sdk != repo.sdk:
            # The card decides.
            repo.sdk = sdk
            self._house(name, repo.hardware or "cpu-basic")
        return reply({"commitUrl": f"{self.url}/{name}/commit/{made.oid}", "commitOid": made.oid})

    def _squash(self, request: Request, user: str | None, role: str | None, name: str, rev: str) -> Answer:
        repo = self._writable(name, user, role)
        if isinstance(repo, Answer):
            return repo
        files = repo.head.files
        repo.commits.clear()
        repo.add("Super-squash branch 'main' using huggingface_hub", files)
        return reply({})

    def _resolve(self, request: Request, user: str | None, role: str | None, name: str, rev: str, path: str) -> Answer:
        repo = self._repo(name, user)
        if isinstance(repo, Answer):
            return repo
        if repo.gated and user != name.split("/")[-2]:
            return error(403 if user else 401, f"Access to model {name} is restricted", "GatedRepo")
        commit = repo.find(rev)
        if commit is None:
            return error(404, "Invalid rev id", "RevisionNotFound")
        content = commit.files.get(path)
        at = {"X-Repo-Commit": commit.oid}
        if content is None:
            missing = error(404, "Entry not found", "EntryNotFound")
            return Answer(missing.status, missing.body, missing.headers | at)
        if is_lfs(name, path):
            oid = hashlib.sha256(content).hexdigest()
            self.storage[oid] = content
            # The other ETag is that of the pointer.
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(content)), "ETag": f'"{oid[:40]}"'}
            return Answer(302, b"", at | linked | {"Location": self._signed("GET", oid)})
        return Answer(200, content, at | {"ETag": f'"{git_oid(content)}"'})

    def _space(self, request: Request, user: str | None, role: str | None, name: str, what: str) -> Answer:
        repo = self._writable(name, user, role)
        if isinstance(repo, Answer):
            return repo
        body = json.loads(request.body) if request.body else {}
        if what == "variables":
            if request.method == "POST":
                repo.variables[body["key"]] = body["value"]
            elif request.method == "DELETE" and repo.variables.pop(body["key"], None) is None:
                return error(404, "No such variable")
            return reply({key: {"key": key, "value": value} for key, value in repo.variables.items()})
        if what.startswith("logs/"):
            return Answer(200, repo.log.encode(), {"Content-Type": "text/event-stream"})
        if what == "hardware":
            repo.hardware = body["flavor"]
        if what == "restart":
            repo.restarts += 1
        stage = repo.stages.pop(0) if len(repo.stages) > 1 and what == "runtime" else repo.stages[0]
        hardware = {"current": repo.hardware, "requested": repo.hardware}
        return reply({"sha": repo.head.oid, "hardware": hardware, "gcTimeout": 172800, **stage})


_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_KIND = r"(?P<kind>models|spaces|datasets)"
_SPACES = r"(?P<kind>(?:spaces|datasets)/)?"
_ROUTES = (
    (rf"GET /api/{_KIND}/{_NAME}", Hub._info),
    (rf"GET /api/{_KIND}/{_NAME}/revision/(?P<rev>[^/]+)", Hub._info),
    (rf"GET /api/{_KIND}/{_NAME}/refs", Hub._refs),
    (rf"GET /api/{_KIND}/{_NAME}/commits/(?P<rev>[^/]+)", Hub._commits),
    (rf"POST /api/{_KIND}/{_NAME}/paths-info/(?P<rev>[^/]+)", Hub._paths_info),
    (rf"POST /api/{_KIND}/{_NAME}/tag/(?P<rev>[^/]+)", Hub._tag),
    (rf"POST /api/{_KIND}/{_NAME}/preupload/(?P<rev>[^/]+)", Hub._preupload),
    (rf"POST /api/{_KIND}/{_NAME}/commit/(?P<rev>[^/]+)", Hub._commit),
    (rf"POST /api/{_KIND}/{_NAME}/super-squash/(?P<rev>[^/]+)", Hub._squash),
    (
        rf"(?:GET|POST|DELETE) /api/(?P<kind>spaces)/{_NAME}/(?P<what>variables|runtime|hardware|restart|logs/\w+)",
        Hub._space,
    ),
    (rf"POST /{_SPACES}{_NAME}\.git/info/lfs/objects/batch", Hub._batch),
    (rf"POST /{_SPACES}{_NAME}\.git/info/lfs/verify", Hub._verify),
    (rf"(?:GET|HEAD) /{_SPACES}{_NAME}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", Hub._resolve),
)


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    try:
        yield hub
    finally:
        hub.close()


def reply(content: object, headers: dict[str, str] | None = None) -> Answer:
    return Answer(200, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})


def error(status: int, message: str, code: str = "", **headers: str) -> Answer:
    """An error as the Hub words it; `headers` with _ for -."""
    told = {"X-Error-Message": message, "Content-Type": "application/json", "X-Request-Id": "Root=1-69f1-abc"}
    told |= {"X-Error-Code": code} if code else {}
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps({"error": message}).encode(), told | more)


def whoami(name: str | None, role: str | None, orgs: tuple[str, ...] = ()) -> Answer:
    token = {"displayName": "laptop", "role": role}
    return reply(
        {
            "name": name,
            "type": "user",
            "orgs": [{"name": org, "type": "org"} for org in orgs],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def card_problems(card: object, kind: str) -> list[str]:
    """What the Hub does not take in the metadata of a card, as far as cards of ours could get it wrong."""
    if not isinstance(card, dict):
        return ["Repo card metadata block is not an object"]
    problems = []
    if kind == "space":
        if card.get("sdk") not in SDKS:
            problems.append('"sdk" must be one of [gradio, docker, static]')
        if len(card.get("short_description", "")) > 60:
            problems.append('"short_description" length must be less than or equal to 60 characters long')
        for name in ("colorFrom", "colorTo"):
            if card.get(name, "red") not in COLORS:
                problems.append(f'"{name}" must be one of [{", ".join(COLORS)}]')
    if not re.fullmatch(r"[a-z0-9.-]+", card.get("license", "mit")):
        problems.append('"license" must be one of [apache-2.0, mit, ...]')
    for model in card.get("model-index", []):
        for result in model["results"]:
            if not ({"type"} <= result["task"].keys() and {"type", "name"} <= result["dataset"].keys()):
                problems.append('"model-index[0].results[0].dataset.type" is required')
            problems += [
                '"model-index[0].results[0].metrics[0].value" is required'
                for metric in result["metrics"]
                if not {"type", "value"} <= metric.keys()
            ]
    return problems


def read_card(files: dict[str, bytes]) -> dict:
    """The metadata of a repository's card; {} where there are none."""
    parts = files.get("README.md", b"").decode().split("---\n", 2)
    return yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else {}


def is_lfs(name: str, path: str) -> bool:
    """Data sets keep pictures apart from the first commit on."""
    return path.endswith((*LFS_SUFFIXES, ".jpg") if name.startswith("datasets/") else LFS_SUFFIXES)


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def describe(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_oid(content)}
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _serve(answer: Callable[[Request], Answer], closing: threading.Event) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            token = headers.get("authorization", "").removeprefix("Bearer ") or None
            query = dict(parse_qsl(parts.query))
            self._send(answer(Request(self.command, parts.path, query, token, headers, self._body(headers))))

        def _send(self, given: Answer) -> None:
            breaks = given.cut or given.silent
            if breaks and not given.body:
                self._break_off(given)
                return
            self.send_response(given.status)
            for name, value in {"Content-Length": str(len(given.body)), **SHARED, **given.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body[: len(given.body) // 2] if breaks else given.body)
            if breaks:
                self._break_off(given)

        def _break_off(self, given: Answer) -> None:
            if given.silent:
                self.wfile.flush()
                closing.wait(LONGEST_SILENCE)
            self.close_connection = True

        def _body(self, headers: dict[str, str]) -> bytes:
            if headers.get("transfer-encoding") != "chunked":
                return self.rfile.read(int(headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def do_OPTIONS(self) -> None:
            """May a page of another origin ask this?"""
            self._send(Answer(204, b"", {"Access-Control-Allow-Methods": "*", "Access-Control-Allow-Headers": ANY}))

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def refusal(kind: type[SpotterError], act: Callable[[], object]) -> str:
    """The sentence of the refusal. It is one, and neither it nor what lies below it shows a token."""
    with pytest.raises(kind) as caught:
        act()
    assert type(caught.value) is kind
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert not re.search(r"[.!?] [A-Z]", sentence), sentence
    assert "\n" not in sentence
    assert "Secret" not in "".join(traceback.format_exception(caught.value))
    return sentence


def always(*answers: Answer, at: str = "") -> Fault:
    """Give these answers in turn, then the last again and again, to requests that look like `at`."""
    rest = list(answers)

    def fault(request: Request, usual: Callable[[Request], Answer]) -> Answer:
        if not re.search(at, str(request)):
            return usual(request)
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return fault


SHORT_S = 1.0


def point_client(monkeypatch: pytest.MonkeyPatch, url: str, cache: Path) -> None:
    """Let the client in this process, which has read its settings long before, talk to this Hub."""
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    for name, value in (
        ("HF_HUB_OFFLINE", False), ("HF_HUB_DISABLE_XET", True), ("HF_HUB_CACHE", str(cache)),
        ("ENDPOINT", url), ("HUGGINGFACE_CO_URL_TEMPLATE", template),
    ):  # fmt: skip
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)


def environment(hub: Hub, home: Path, **more: str) -> dict[str, str]:
    """For commands that talk to this Hub."""
    mine = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0", "HF_TOKEN": WRITER}
    return {**os.environ, **mine, "HF_HOME": str(home), **more}
