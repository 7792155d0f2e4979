"""usage: decode_floors_test.py PROJECT"""
import json
import pathlib
import struct
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv.pop())
SCRIPT = ROOT / "bench/decode_floors.py"
sys.path.insert(0, str(SCRIPT.parent))

import decode_floors  # noqa: E402


class Floors(unittest.TestCase):
    def test_matrices_are_those_of_a_checkpoint(self):
        """All weights of the tiny model but its norms and its embedding."""
        folder = ROOT / "experiments/tiny/model"
        count = 0
        for path in folder.glob("*.safetensors"):
            with open(path, "rb") as file:
                header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            for name, tensor in header.items():
                if name != "__metadata__" and len(tensor["shape"]) == 2 and "embed_tokens" not in name:
                    count += tensor["shape"][0] * tensor["shape"][1]
        self.assertGreater(count, 0)
        self.assertEqual(decode_floors.load_shape(str(folder)).matrices(), count)

    def test_phi_3_mini_counted_by_hand(self):
        parts = decode_floors.floors(decode_floors.load_shape("phi-3-mini"), 256, shared=100, sharing=64, own=10)
        layers = 32 * (3072 * 9216 + 3072 * 3072 + 3 * 3072 * 8192)
        token = 32 * 2 * 3072 * 2  # bytes of one token's keys and values
        self.assertEqual(parts["weights of layers"], (2 * layers, 2 * 256 * layers))
        self.assertEqual(parts["head and logits"], (2 * 3072 * 32064 + 8 * 256 * 32064, 2 * 256 * 3072 * 32064))
        self.assertEqual(parts["shared keys and values"], (4 * 100 * token, 256 * 100 * 32 * 4 * 3072))
        self.assertEqual(parts["own keys and values"], (256 * 11 * token, 256 * 10 * 32 * 4 * 3072))

    def test_time_is_that_of_the_scarcer(self):
        self.assertAlmostEqual(decode_floors.seconds((4e12, 1e12), (2, 10)), 2)
        self.assertAlmostEqual(decode_floors.seconds((4e12, 90e12), (2, 10)), 9)

    def test_a_window_bounds_what_is_read(self):
        config = dict(decode_floors.SHAPES["phi-3-mini"], sliding_window=50)
        got = decode_floors.floors(decode_floors.Shape(config), 8, shared=100, own=20)
        want = decode_floors.floors(decode_floors.load_shape("phi-3-mini"), 8, shared=30, own=20)
        self.assertEqual(got, want)

    def test_experts_that_no_token_takes_are_not_read(self):
        config = dict(decode_floors.SHAPES["phi-3-mini"], num_local_experts=16)
        shape = decode_floors.Shape(config)
        few, many = (decode_floors.floors(shape, rows)["weights of layers"] for rows in (3, 64))
        self.assertEqual(many[0] - few[0], 2 * 32 * 10 * shape.mlp)
        self.assertEqual(few[1] * 64, many[1] * 3)

    def test_the_table(self):
        out = subprocess.run([sys.executable, SCRIPT, "phi-4", "--rows", "1", "256", "--card", "H200", "mine=1,100", "--launches", "9",
                              "--measured", "10", "20"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(out.count("| tokens a second at most |"), 2)
        self.assertIn("| 360 launches |", out)
        self.assertIn("mine, ms", out)
        self.assertEqual(out.count("of it the floor"), 4)


if __name__ == "__main__":
    unittest.main()
