"""An accelerator that this machine does not have: tensors that say they lie there, lie on the CPU,
and refuse to be mixed.

`python tests/helpers/pretended_accelerator.py COMMAND...` runs several commands of `cdcd`, each one
word list in JSON, with everything on that device, and says on standard error how many operations
each did there; a tensor left behind on the CPU ends it with the error that a GPU would give. It has
a process of its own, since PyTorch takes one such device a process.
"""

import json
import sys

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "elsewhere"
BETWEEN_DEVICES = ("aten::copy_", "aten::_to_copy")  # what moves tensors
READING = ("aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero", "aten::nonzero")
READS: list[str] = []  # the operations for which the CPU waited for what lies there


class Elsewhere(Tensor):
    """A tensor on the pretended device around one on the CPU, `here`."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: Tensor):
        shape = {
            "strides": here.stride(),
            "storage_offset": here.storage_offset(),
            "dtype": here.dtype,
        }
        tensor = Tensor._make_wrapper_subclass(
            cls, here.size(), **shape, device=torch.device(NAME, 0)
        )
        tensor.here = here
        return tensor

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return answer(function, args, kwargs or {})


class Pretence(TorchDispatchMode):
    """While it is on, tensors can be made on the pretended device; `operations` counts what was
    done with them.
    """

    operations = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.operations += any(isinstance(part, Elsewhere) for part in tree_leaves((args, kwargs)))
        return answer(function, args, kwargs or {})


def answer(function, args: tuple, kwargs: dict):
    """What `function` returns, computed on the CPU; raises RuntimeError when its tensors lie on two
    devices.
    """
    name, tensors = (
        function._schema.name,
        [part for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)],
    )
    away = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    if device := kwargs.get("device"):
        kwargs = {
            **kwargs,
            "device": torch.device("cpu"),
            **({"pin_memory": False} if "pin_memory" in kwargs else {}),
        }
        stays_away = torch.device(device).type == NAME
    else:
        stays_away = isinstance(args[0], Elsewhere) if name == "aten::copy_" else bool(away)
    if away and name not in BETWEEN_DEVICES:
        left_behind = [
            tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.dim()
        ]
        indexed_from_here = name.startswith("aten::index") and isinstance(
            args[0], Elsewhere
        )  # a GPU allows it
        if left_behind and not indexed_from_here:
            raise RuntimeError(
                f"{name}: {len(left_behind)} of its tensors were left behind on the CPU."
            )
    masked = name.startswith("aten::index") and any(
        getattr(part, "dtype", None) == torch.bool for part in tree_leaves(args[1])
    )
    if away and (name in READING or masked or (name in BETWEEN_DEVICES and not stays_away)):
        READS.append(name)
    result = function(*tree_map(_here, args), **tree_map(_here, kwargs))
    if not stays_away:
        return result
    result = tree_map(lambda part: Elsewhere(part) if isinstance(part, Tensor) else part, result)
    return return_and_correct_aliasing(function, args, kwargs, result) if away else result


def _here(value: object) -> object:
    return value.here if isinstance(value, Elsewhere) else value


def register() -> None:
    """Makes the device known to PyTorch, with the few operations that it calls without asking a
    mode.
    """

    class Module(backend_registration._DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16, torch.float16]

    class OneGenerator(
        torch.Generator
    ):  # generators of that device are the CPU's, so the noise is the same
        def __new__(cls, device: object = "cpu"):
            return super().__new__(cls, "cpu")

    torch.Generator, torch.inference_mode = (
        OneGenerator,
        torch.no_grad,
    )  # an inference tensor cannot be wrapped
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    library = torch.library.Library("aten", "IMPL")
    register.library = library  # its kernels go when it goes

    def empty_strided(
        size, stride, dtype=None, layout=None, device=None, pin_memory=None
    ) -> Tensor:
        return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))

    def copy_from(source, target, non_blocking=False) -> Tensor:
        _here(target).copy_(_here(source))
        return target

    library.impl("empty_strided", empty_strided, "PrivateUse1")
    library.impl("_copy_from", copy_from, "PrivateUse1")


if __name__ == "__main__":
    register()
    torch.set_num_threads(1)
    from stages.__main__ import app

    with Pretence() as pretence:
        for command in sys.argv[1:]:
            pretence.operations = 0
            app(json.loads(command), standalone_mode=False)
            print(f"{command} did {pretence.operations} operations elsewhere", file=sys.stderr)
