"""Tests of the steps: they are functions, and are called as such. Run: python3 test_steps.py"""

import pathlib
import unittest

from flow_step import Fault, Item
from steps import add_counts, count_words

LETTERS = pathlib.Path(__file__).parent / "letters"


class StepTests(unittest.TestCase):
    def test_words_are_counted(self):
        first = Item(LETTERS / "first.txt")
        self.assertEqual(count_words(first), {"file": "first.txt", "words": 5})
        self.assertEqual(count_words(first, least=5)["words"], 2)

    def test_a_file_without_words_is_a_fault(self):
        empty = Item(LETTERS / "empty.txt")
        pathlib.Path(empty).write_text("")
        self.addCleanup(pathlib.Path(empty).unlink)
        self.assertRaises(Fault, count_words, empty)

    def test_counts_are_added_up(self):
        counts = [count_words(Item(path)) for path in sorted(LETTERS.iterdir())]
        self.assertEqual(add_counts(counts)["words.json"]["total"], 9)


if __name__ == "__main__":
    unittest.main()
