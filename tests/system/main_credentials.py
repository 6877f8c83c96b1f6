"""Digest credentials of phones by the command line: sealed by the running gate controller, never plain in the database."""
import hashlib
import os

from stacked import StackTest

NUMBER, PASSWORD = "+12125550150", "of a phone that never sleeps"


class Credentials(StackTest):
    @classmethod
    def prepare(cls, stack):
        account = stack.ctl_json("account", "add", "Phones")["account"]
        cls.line = stack.ctl_json("line", "add", account, NUMBER, "--name", "Desk", "--caller-id", "yes")["line"]

    def test_added_and_sealed(self):
        secret = self.stack.write("password", PASSWORD + "\n")
        os.chmod(secret, 0o600)
        self.stack.ctl("credential", "add", "desk", self.line, "--password-file", secret)
        sealed = bytes.fromhex(self.stack.sql("SELECT encode(ha1_sealed, 'hex') FROM core.credential WHERE username = 'desk'"))
        ha1 = hashlib.sha256(f"desk:{self.stack.domain}:{PASSWORD}".encode()).digest()
        self.assertGreater(len(sealed), len(ha1))
        for plain in (ha1, ha1.hex().encode(), PASSWORD.encode()):
            self.assertNotIn(plain, sealed)
