"""Downloads from a server in a thread of this process."""

import hashlib
import http.server
import logging
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from jaxcnn.transfer import PretrainedConfig, download
from jaxcnn.transfer.download import fetch, weights_folder

CONTENT = np.random.default_rng(0).bytes(300_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT; the server says what goes wrong and remembers what was asked."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if server.status != 200:
            return self.send_error(server.status)
        start, begin = 0, self.headers.get("Range")
        if begin and server.resumes:
            start = int(begin.removeprefix("bytes=").rstrip("-"))
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT)
        if server.breaks:
            end = start + server.breaks.pop(0)
        self.wfile.write(CONTENT[start:end])
        return None

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.breaks, server.resumes, server.status = [], [], True, 200
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXCNN_HOME", str(tmp_path / "home"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home" / "weights"


def config(server=None, **changes):
    address = f"http://127.0.0.1:{server.server_port}/x.bin" if server else None
    values = {
        "model": "lenet",
        "weights": "someone:DIGITS",
        "address": address,
        "file": "x.bin",
        "hash": f"sha256:{hashlib.sha256(CONTENT).hexdigest()[:8]}",
    }
    return PretrainedConfig(**(values | changes))


def test_a_file_is_downloaded_once_and_verified(server, folder, capsys):
    path = fetch(config(server))
    assert path == folder / "x.bin" == weights_folder() / "x.bin"
    assert path.read_bytes() == CONTENT
    assert "x.bin" in capsys.readouterr().err  # the progress
    assert fetch(config(server)) == path
    assert server.asked == [None]
    assert sorted(p.name for p in folder.iterdir()) == [".x.bin.lock", "x.bin"]


def test_md5(server):
    digest = hashlib.md5(CONTENT).hexdigest()
    assert fetch(config(server, hash=f"md5:{digest}")).exists()


def test_it_goes_on_where_the_connection_broke(server):
    server.breaks = [100_000, 50_000]
    assert fetch(config(server)).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_it_goes_on_in_the_next_call(server, folder):
    server.breaks = [1_000, 1_000, 1_000]
    message = r"cannot be downloaded \(the connection broke after 3,000 bytes; try"
    with pytest.raises(OSError, match=message):
        fetch(config(server))
    assert (folder / "x.bin.part").stat().st_size == 3_000
    assert fetch(config(server)).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=3000-"


def test_a_server_that_does_not_resume(server):
    server.resumes, server.breaks = False, [1_000]
    assert fetch(config(server)).read_bytes() == CONTENT


def test_a_part_that_is_longer_than_the_file(server, folder):
    folder.mkdir(parents=True)
    (folder / "x.bin.part").write_bytes(CONTENT + b"more")
    assert fetch(config(server)).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused(server, folder):
    message = r"is not what was published: its sha256 is \w{64}, 0123abcd is expected"
    with pytest.raises(ValueError, match=message):
        fetch(config(server, hash="sha256:0123abcd"))
    assert [p.name for p in folder.iterdir()] == [".x.bin.lock"]


def test_a_file_that_was_changed_is_refused(server):
    path = fetch(config(server))
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match="Delete it, and it will be downloaded anew"):
        fetch(config(server))


def test_without_a_hash_it_is_said(server, caplog):
    with caplog.at_level(logging.WARNING, "jaxcnn"):
        fetch(config(server, hash=None))
    assert "no hash is published, so it is not verified" in caplog.text


def test_without_a_hash_an_older_part_is_not_gone_on_with(server, folder):
    folder.mkdir(parents=True)
    (folder / "x.bin.part").write_bytes(b"of another file")
    assert fetch(config(server, hash=None)).read_bytes() == CONTENT
    assert server.asked == [None]


@pytest.mark.parametrize("name", ["../x.bin", "/tmp/x.bin", "a\\x.bin", "..", "", None])
def test_files_stay_in_the_folder(server, name):
    with pytest.raises(ValueError, match="file must be a name without folders"):
        fetch(config(server, file=name))
    assert server.asked == []


def test_what_the_server_refuses(server):
    server.status = 404
    with pytest.raises(OSError, match=r"cannot be downloaded \(Not Found\)"):
        fetch(config(server))


def test_offline_it_says_what_is_missing_and_where_to_put_it(folder):
    with pytest.raises(OSError, match="cannot be downloaded") as error:
        fetch(config(address="http://127.0.0.1:1/x.bin"))
    assert str(error.value).startswith(
        "someone:DIGITS of lenet is not in the cache and cannot be downloaded ("
    )
    assert str(error.value).endswith(
        "Get it from http://127.0.0.1:1/x.bin "
        f"(sha256:{hashlib.sha256(CONTENT).hexdigest()[:8]}) and put it at "
        f"{folder / 'x.bin'}."
    )


def test_a_file_put_there_by_hand_is_used(folder):
    with pytest.raises(FileNotFoundError, match=r"has no address\. Get it \(sha256"):
        fetch(config())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.bin").write_bytes(CONTENT)
    assert fetch(config()).read_bytes() == CONTENT


def test_several_at_once_download_once(server):
    paths, errors = [], []

    def get():
        try:
            paths.append(fetch(config(server)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(paths) == 4
    assert server.asked == [None]
    assert paths[0].read_bytes() == CONTENT


def test_another_process_holds_the_lock(folder):
    """The lock is between processes: what one holds, another cannot take."""
    fcntl = pytest.importorskip("fcntl")
    assert fcntl
    code = (
        "import fcntl, sys\n"
        f"file = open({str(folder / '.x.bin.lock')!r}, 'w')\n"
        "try:\n    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "except BlockingIOError:\n    sys.exit(7)\n"
    )
    with download._locked(folder / "x.bin"):
        held = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    free = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert (held.returncode, free.returncode) == (7, 0)
