"""Whether XGBoost's wheel and NVIDIA's driver fit each other: `nvidia-smi` read, and the rule on what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SMI_SECONDS = 20.0

OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""The oldest driver that runs programs of a CUDA version, whatever its minor version.

https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
"""


class GpuFit(NamedTuple):
    """Whether wheel and driver fit, what was found, and where they do not, the remedy."""

    fits: bool
    found: str
    remedy: str = ""


def nvidia_smi() -> str:
    """What `nvidia-smi -q` prints, also when it fails; empty where it is not installed or does not answer."""
    if shutil.which("nvidia-smi") is None:
        return ""
    try:
        done = subprocess.run(
            ["nvidia-smi", "-q"], capture_output=True, text=True, check=False, timeout=SMI_SECONDS, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return f"{done.stdout}\n{done.stderr}".strip()


def gpu_fit(build: Mapping[str, Any], smi: str) -> GpuFit:
    """Whether the driver that `nvidia-smi` speaks of runs this XGBoost; `build` is `xgboost.build_info()`.

    A driver runs what is built for its own CUDA version or an earlier one, and for every minor version of its own.
    """
    if not build.get("USE_CUDA"):
        remedy = "install the wheel that has CUDA: pip uninstall xgboost-cpu xgboost, then: pip install xgboost"
        return GpuFit(False, "this XGBoost is built without CUDA", remedy)
    driver, supported = re.search(r"Driver Version\s*:\s*([\d.]+)", smi), _supported(smi)
    if driver is None:
        said = smi.splitlines()[0] if smi else "nvidia-smi is missing or does not answer"
        remedy = "install or load NVIDIA's driver, until nvidia-smi answers"
        return GpuFit(False, f"there is a driver, but {said}", remedy)
    named = f"driver {driver[1]}" + (f" (CUDA {supported[0]}.{supported[1]})" if supported[1] is not None else "")
    if re.search(r"No devices were found|Attached GPUs\s*:\s*0\b", smi):
        return GpuFit(False, f"{named} sees no GPU", "see that the machine or the container has been given one")
    major, minor = (int(part) for part in build["CUDA_VERSION"][:2])
    wheel = f"XGBoost's wheel is built for CUDA {major}.{minor}"
    if supported[0] < major:
        remedy = f"install driver {OLDEST_DRIVER[major]} or later" if major in OLDEST_DRIVER else "install a newer one"
        if major > 12 <= supported[0]:
            remedy += ", or the wheel for CUDA 12: pip uninstall xgboost, then: pip install xgboost-cu12"
        return GpuFit(False, f"{wheel}, which {named} does not run", remedy)
    gpus = re.findall(r"Product Name\s*:\s*(\S.*)", smi)
    return GpuFit(True, "; ".join(part.strip() for part in (", ".join(gpus), f"{named} runs it: {wheel}") if part))


def _supported(smi: str) -> tuple[int, int | None]:
    """The newest CUDA version that the driver runs, (13, 0) for 13.0; without one in `smi`, by the driver's number."""
    if cuda := re.search(r"CUDA (?:\w+ )?Version\s*:\s*(\d+)\.(\d+)", smi):
        return int(cuda[1]), int(cuda[2])
    driver = re.search(r"Driver Version\s*:\s*(\d+)", smi)
    known = [cuda for cuda, oldest in OLDEST_DRIVER.items() if driver and int(driver[1]) >= oldest]
    return max(known, default=0), None
