"""Reads a folder of event files as TensorBoard does, for tensorboard_parity_test.cc.

usage: tensorboard_events.py FOLDER OUT
Writes one JSON object into the file OUT, {"event_accumulator": SERIES, "multiplexer": SERIES}: what the two readers of
the package give.
SERIES is {tag: [[step, value], ...]}.
"""
import json
import pathlib
import sys

from tensorboard.backend.event_processing import event_accumulator, plugin_event_multiplexer
from tensorboard.util import tensor_util

folder = sys.argv[1]
accumulator = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0}).Reload()
multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0})
multiplexer.AddRun(folder, "run").Reload()
pathlib.Path(sys.argv[2]).write_text(json.dumps({
    "event_accumulator": {tag: [[event.step, event.value] for event in accumulator.Scalars(tag)]
                          for tag in accumulator.Tags()["scalars"]},
    "multiplexer": {tag: [[event.step, tensor_util.make_ndarray(event.tensor_proto).item()]
                          for event in multiplexer.Tensors("run", tag)]
                    for tag in multiplexer.PluginRunToTagToContent("scalars")["run"]}}))
