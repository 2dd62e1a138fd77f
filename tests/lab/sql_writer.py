"""Writes numbered rows into MariaDB, one commit each, for as long as its standard input is open, whatever happens.

`sql_writer.py ADDRESS JOURNAL`: each number is tried until a commit of it was acknowledged. JOURNAL has a line
"try NUMBER ATTEMPT" before, and "ack NUMBER ATTEMPT" after; standard output one "sql SENT RECEIVED HOST" for each
acknowledged row, as the lab's probers print it. With a journal of an earlier writer it goes on after its last number.
"""

from __future__ import annotations

import itertools
import selectors
import sys
import time
from typing import TextIO

import pymysql

PATIENCE = 1.0
"""Seconds until a connection, or an answer on one, is given up: the server may have no power."""

PAUSE = 0.005
RETRY_PAUSE = 0.02

INSERT = "INSERT INTO lab.written (number, attempt) VALUES (%s, %s)"


class Writer:
    def __init__(self, address: str, journal: TextIO) -> None:
        self._address = address
        journal.seek(0)
        self._first = 1 + max((int(line.split()[1]) for line in journal), default=0)
        self._journal = journal
        self._connection: pymysql.Connection | None = None
        self._host = ""
        self._stdin = selectors.DefaultSelector()
        self._stdin.register(sys.stdin, selectors.EVENT_READ)

    def run(self) -> None:
        for number in itertools.count(self._first):
            sent = time.monotonic()
            for attempt in itertools.count(1):
                if self._stdin.select(PAUSE if attempt == 1 else RETRY_PAUSE):
                    return
                if self._write(number, attempt):
                    break
            print(f"sql {sent:.6f} {time.monotonic():.6f} {self._host}", flush=True)

    def _write(self, number: int, attempt: int) -> bool:
        try:
            connection = self._connected()
            self._note("try", number, attempt)
            with connection.cursor() as cursor:
                cursor.execute(INSERT, (number, attempt))
            connection.commit()
        except (pymysql.MySQLError, OSError) as error:
            print(f"{time.monotonic():.3f} {number} {attempt}: {error}", file=sys.stderr, flush=True)
            self._connection = None
            return False
        self._note("ack", number, attempt)
        return True

    def _connected(self) -> pymysql.Connection:
        if self._connection is None:
            connection = pymysql.connect(
                host=self._address,
                user="writer",
                password="written",
                connect_timeout=PATIENCE,
                read_timeout=PATIENCE,
                write_timeout=PATIENCE,
            )
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@hostname")
                (self._host,) = cursor.fetchone()
            self._connection = connection
        return self._connection

    def _note(self, what: str, number: int, attempt: int) -> None:
        self._journal.write(f"{what} {number} {attempt}\n")
        self._journal.flush()


def main() -> None:
    address, journal = sys.argv[1:]
    with open(journal, "a+") as file:
        Writer(address, file).run()


if __name__ == "__main__":
    main()
