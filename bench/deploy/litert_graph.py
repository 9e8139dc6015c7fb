#!/usr/bin/env python3
"""An exported ONNX graph as LiteRT has it, operator by operator, for whose package has no converter: litert_graph.py
GRAPH.onnx TO.tflite. The nodes of each GELU become LiteRT's own."""
import re
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper


class LiteRt:
    """A flat buffer of one subgraph, operator by operator."""

    def __init__(self):
        from ai_edge_litert import schema_py_generated as schema
        self.schema = schema
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "policy"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph = schema.SubGraphT()
        self.graph.name, self.graph.tensors, self.graph.operators = "main", [], []
        self.codes = {}

    def tensor(self, shape, numbers=None, kind="FLOAT32"):
        made = self.schema.TensorT()
        made.shape, made.type = list(shape), getattr(self.schema.TensorType, kind)
        made.name, made.buffer = f"t{len(self.graph.tensors)}", 0
        if numbers is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(numbers).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, name, inputs, shape, options=None, kind="FLOAT32", **settings):
        if name not in self.codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode, code.version = getattr(self.schema.BuiltinOperator, name), 1
            code.deprecatedBuiltinCode = min(code.builtinCode, 127)
            self.model.operatorCodes.append(code)
            self.codes[name] = len(self.model.operatorCodes) - 1
        made, out = self.schema.OperatorT(), self.tensor(shape, kind=kind)
        made.opcodeIndex, made.inputs, made.outputs = self.codes[name], list(inputs), [out]
        if options:
            made.builtinOptions = getattr(self.schema, options + "T")()
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            for key, value in settings.items():
                setattr(made.builtinOptions, key, value)
        self.graph.operators.append(made)
        return out

    def bytes(self):
        import flatbuffers
        self.model.subgraphs = [self.graph]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def lite_rt(model):
    """The bytes of a .tflite. Raises KeyError for an operator that exports do not have."""
    inferred = onnx.shape_inference.infer_shapes(model)
    shape_of = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
                for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)}
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    made, at, placed = LiteRt(), {}, {}

    def constant(numbers):
        key = (numbers.shape, numbers.dtype.str, numbers.tobytes())
        if key not in placed:
            placed[key] = made.tensor(numbers.shape, numbers, "INT32" if numbers.dtype == np.int32 else "FLOAT32")
        return placed[key]

    def number(value):
        return constant(np.array([value], np.float32))

    def value(name):
        return at[name] if name in at else constant(constants[name])

    def binary(name, a, b, shape):
        options = "MaximumMinimumOptions" if name in ("MAXIMUM", "MINIMUM") else f"{name.title()}Options"
        return made.operator(name, [a, b], shape, options)

    def dense(x, weight, bias, shape):
        inputs = [x, constant(np.ascontiguousarray(constants[weight].T))]
        if bias in constants:
            return made.operator("FULLY_CONNECTED", [*inputs, value(bias)], shape, "FullyConnectedOptions")
        out = made.operator("FULLY_CONNECTED", [*inputs, constant(np.zeros(shape[-1], np.float32))], shape,
                            "FullyConnectedOptions")
        return binary("ADD", out, value(bias), shape) if bias else out

    def layer_norm(x, scale, shift, epsilon, shape):
        axis, column = constant(np.array([1], np.int32)), [shape[0], 1]

        def mean(of):
            return made.operator("MEAN", [of, axis], column, "ReducerOptions", keepDims=True)
        centred = binary("SUB", x, mean(x), shape)
        variance = binary("ADD", mean(binary("MUL", centred, centred, shape)), number(epsilon), column)
        z = binary("MUL", centred, made.operator("RSQRT", [variance], column), shape)
        return binary("ADD", binary("MUL", z, value(scale), shape), value(shift), shape)

    for each in model.graph.input:
        at[each.name] = made.tensor(shape_of[each.name])
    made.graph.inputs = [at["observation"], at["noise"]]
    gelu = re.compile(r".*/gelu_\d+(/)?")  # the name of its result, and with the slash of what is on the way there
    inside = {}  # by the former: the names of what goes in
    for node in model.graph.node:
        if match := gelu.match(node.output[0]):
            inside.setdefault(match[0].rstrip("/"), []).extend(
                name for name in node.input if name not in constants and not gelu.match(name))
            if match[1]:
                continue
        inputs, out, shape = list(node.input), node.output[0], shape_of[node.output[0]]
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if out in inside:
            (x,) = set(inside[out])
            at[out] = made.operator("GELU", [value(x)], shape, "GeluOptions", approximate=True)
        elif node.op_type == "Gemm":
            at[out] = dense(value(inputs[0]), inputs[1], inputs[2], shape)
        elif node.op_type == "MatMul":
            at[out] = dense(value(inputs[0]), inputs[1], None, shape)
        elif node.op_type == "LayerNormalization":
            at[out] = layer_norm(value(inputs[0]), inputs[1], inputs[2], attributes["epsilon"], shape)
        elif node.op_type == "Softmax":
            at[out] = made.operator("SOFTMAX", [value(inputs[0])], shape, "SoftmaxOptions", beta=1.0)
        elif node.op_type == "Clip":
            at[out] = binary("MINIMUM", binary("MAXIMUM", value(inputs[0]), number(-1), shape), number(1), shape)
        elif node.op_type == "Mean":
            at[out] = binary("MUL", binary("ADD", value(inputs[0]), value(inputs[1]), shape), number(0.5), shape)
        elif node.op_type == "ArgMax":
            at[out] = made.operator("ARG_MAX", [value(inputs[0]), constant(np.array([0], np.int32))], shape,
                                    "ArgMaxOptions", kind="INT32", outputType=made.schema.TensorType.INT32)
        elif node.op_type == "Gather":
            at[out] = made.operator("GATHER", [value(inputs[0]), at[inputs[1]]], shape, "GatherOptions", axis=0)
        else:
            at[out] = binary({"Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Min": "MINIMUM"}[node.op_type],
                             value(inputs[0]), value(inputs[1]), shape)
    made.graph.outputs = [at["action"]]
    return made.bytes()


def empty():
    """One addition: what a call costs that computes nothing."""
    made = LiteRt()
    made.graph.inputs = [made.tensor([1, 4])]
    out = made.operator("ADD", [made.graph.inputs[0], made.tensor([4], np.ones(4, np.float32))], [1, 4], "AddOptions")
    made.graph.outputs = [out]
    return made.bytes()


def main():
    graph, to = sys.argv[1:]
    written = lite_rt(onnx.load(graph))
    with open(to, "wb") as file:
        file.write(written)


if __name__ == "__main__":
    main()
