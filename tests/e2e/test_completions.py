"""The completions, run by the shells they are for."""
import re
import subprocess

import pytest

from kit import BIN, limit, need
from kit.terminal import OnTerminal

LINES = [  # what is typed, what must be offered, what must not
    ("gotunnel st", {"stats"}, {"server"}),
    ("gotunnel server --adm", {"--admin"}, {"--addr"}),
    ("gotunnel stats --wat", {"--watch"}, {"--json"}),
    ("gotunnel client --remote", {"--remote-port"}, {"--retries"}),
    ("gotunnel http --no-req", {"--no-request-log"}, {"--no-reconnect"}),
    ("gotunnel server --log-format ", {"term", "logfmt", "json"}, set()),
    ("gotunnel completion ", {"bash", "zsh", "fish"}, set()),
    ("gotunnel-client --tls-c", {"--tls-ca"}, {"--tls-cert"}),
]


@pytest.fixture
def script(rig):
    """script(shell) is a file with that shell's completions; gotunnel is on the path."""
    (rig.folder / "bin").mkdir()
    for name in ("gotunnel", "gotunnel-server", "gotunnel-client"):
        (rig.folder / "bin" / name).symlink_to(BIN)

    def make(shell):
        path = rig.folder / f"completion.{shell}"
        path.write_text(rig.run("completion", shell).out.text)
        return path
    return make


def environment(rig):
    return rig.env(PATH=f"{rig.folder}/bin:/usr/bin:/bin", TERM="dumb", ZDOTDIR=str(rig.home))


def offers(text, line, offered, refused):
    words = set(re.findall(r"[\w-]+", text))
    assert offered <= words, f"{line!r} offers {text!r}"
    assert not refused & words, f"{line!r} offers {text!r}"


@pytest.mark.parametrize("line, offered, refused", LINES)
def test_bash(rig, script, line, offered, refused):
    words = line.split(" ")
    code = f"""
        source {script('bash')}
        COMP_WORDS=({' '.join(repr(w) for w in words)}) COMP_CWORD={len(words) - 1}
        COMP_LINE={line!r} COMP_POINT={len(line)}
        _gotunnel
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([need("bash"), "--norc", "-c", code], env=environment(rig), text=True,
                          capture_output=True, timeout=limit(20))
    assert done.returncode == 0 and not done.stderr, done
    offers(done.stdout, line, offered, refused)


@pytest.mark.parametrize("line, offered, refused", LINES)
def test_fish(rig, script, line, offered, refused):
    code = f"source {script('fish')}; complete --do-complete {line!r}"
    done = subprocess.run([need("fish"), "--no-config", "-c", code], env=environment(rig),
                          text=True, capture_output=True, timeout=limit(30))
    assert done.returncode == 0 and not done.stderr, done
    # A tab, and what it means, follow the word.
    offers(re.sub(r"\t.*", "", done.stdout), line, offered, refused)


@pytest.mark.parametrize("line, offered, refused", LINES)
def test_zsh(rig, script, line, offered, refused):
    """On a terminal, with the Tab key: what is one word is completed, several are listed."""
    path = script("zsh")
    (rig.home / ".zshrc").write_text(
        f"autoload -Uz compinit; compinit -D; source {path}; PS1='ready> '\n"
        "unsetopt zle_bracketed_paste; zstyle ':completion:*' verbose no; LISTMAX=1000\n"
        "unsetopt auto_menu; bindkey '^I' complete-word\n")
    zsh = rig.add(OnTerminal([need("zsh"), "-i"], env=environment(rig), cwd=rig.folder))
    zsh.wait_out("ready> ", 30)
    since = len(zsh.out.text)
    zsh.type(line + "\t")
    for word in offered:
        zsh.wait_out(re.escape(word), 20, since)
    offers(zsh.out.text[since:].replace(line, " ", 1) if len(offered) > 1 else
           zsh.out.text[since:], line, offered, refused)
    zsh.kill()
