"""The CUDA source of the core, compiled by g++ through shim.h to run on a CPU: the same text, no GPU."""

import ctypes
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from backprop.kernels import REAL, source

HERE = Path(__file__).parent

C_TYPES = {
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "int": ctypes.c_int,
    "long long": ctypes.c_longlong,
    "unsigned long long": ctypes.c_ulonglong,
}
NUMPY_NAMES = {
    "float": "float32",
    "double": "float64",
    "int": "int32",
    "long long": "int64",
    "unsigned char": "uint8",
    "unsigned int": "uint32",
    "unsigned long long": "uint64",
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a kernel: its name, its C type with `real` replaced, and whether it is an array."""

    name: str
    c_type: str
    is_array: bool

    @property
    def dtype(self) -> str:
        """NumPy's name of the type."""
        return NUMPY_NAMES[self.c_type]


def kernel_parameters(code: str, real: str) -> dict[str, list[Parameter]]:
    """Return the parameters of every kernel in a source."""
    kernels = {}
    for name, inside in re.findall(r'extern "C" __global__ void (\w+)\(([^)]*)\)', code):
        parameters = []
        for text in inside.split(","):
            words = text.replace("*", " * ").replace("const", "").split()
            c_type = " ".join(real if word == "real" else word for word in words[:-1] if word != "*")
            parameters.append(Parameter(words[-1], c_type, "*" in words))
        kernels[name] = parameters
    return kernels


def host_program(code: str, dtype: str) -> str:
    """Return C++ of the kernels and, for each, a function `launch_NAME(columns, rows, threads, ...)`."""
    real = REAL[dtype]
    lines = [(HERE / "shim.h").read_text(), f"#define REAL {real}", code]
    for name, parameters in kernel_parameters(code, real).items():
        declared = ", ".join(f"{p.c_type} {'*' if p.is_array else ''}{p.name}" for p in parameters)
        given = ", ".join(p.name for p in parameters)
        lines.append(
            f'extern "C" void launch_{name}(unsigned columns, unsigned block_rows, unsigned threads, {declared}) '
            f"{{ launch(columns, block_rows, threads, [=] {{ {name}({given}); }}); }}"
        )
    return "\n".join(lines)


def compile_host(program: str, output: Path, *flags: str) -> Path:
    """Compile C++ with g++; warnings about the kernels are errors."""
    text = output.with_suffix(".cc")
    text.write_text(program)
    command = ["g++", "-std=c++20", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-pthread", *flags, "-o", output, text]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return output


class CpuKernels:
    """The kernels of one dtype as a library in this process."""

    def __init__(self, code: str, dtype: str) -> None:
        self.parameters = kernel_parameters(code, REAL[dtype])
        output = Path(mkdtemp(prefix="kernels-")) / f"{dtype}.so"
        self._library = ctypes.CDLL(str(compile_host(host_program(code, dtype), output, "-O2", "-shared", "-fPIC")))
        self.shared_memory = (ctypes.c_double * (1 << 16)).in_dll(self._library, "shared_memory")

    def __call__(self, name: str, grid: tuple[int, int], threads: int, *arguments: Any) -> None:
        """Run a kernel; an array is given by its address."""
        function = self._library[f"launch_{name}"]
        function.restype = None
        function.argtypes = [ctypes.c_uint] * 3 + [
            ctypes.c_void_p if p.is_array else C_TYPES[p.c_type] for p in self.parameters[name]
        ]
        function(*grid, threads, *arguments)


@cache
def cpu_kernels(dtype: str) -> CpuKernels:
    """Return the kernels of the core for a dtype, compiled once a process."""
    return CpuKernels(source(), dtype)
