from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from treadle.flows.project import doctor, gpu_fit
from treadle.infra import settings as settings_
from treadle.tasks import device

if TYPE_CHECKING:
    from pathlib import Path

SMI = """
==============NVSMI LOG==============

Timestamp                                 : Thu Oct 29 10:00:00 2026
Driver Version                            : {driver}
{cuda}
Attached GPUs                             : {gpus}
"""
GPU = """GPU 00000000:00:05.0
    Product Name                          : NVIDIA A10
    Product Brand                         : NVIDIA
"""
TABLE = "| NVIDIA-SMI 535.183.01             Driver Version: 535.183.01   CUDA Version: 12.2     |"
SILENT = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running.\n"
)
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95\n"


def smi(driver: str, cuda: str = "", gpus: int = 1) -> str:
    line = f"CUDA Version                              : {cuda}\n" if cuda else ""
    return SMI.format(driver=driver, cuda=line, gpus=gpus) + GPU * gpus


def build(*version: int, cuda: bool = True) -> dict[str, object]:
    return {"USE_CUDA": cuda, **({"CUDA_VERSION": list(version)} if cuda else {})}


@pytest.mark.parametrize(
    ("built", "said", "found"),
    [
        (build(13, 0), smi("580.95.05", "13.0"), "NVIDIA A10; driver 580.95.05 (CUDA 13.0) runs it"),
        (build(13, 1), smi("580.95.05", "13.0"), "XGBoost's wheel is built for CUDA 13.1"),  # minor versions fit
        (build(12, 9), smi("580.95.05", "13.0"), "XGBoost's wheel is built for CUDA 12.9"),  # and earlier ones
        (build(12, 9), smi("535.183.01", "12.2"), "driver 535.183.01 (CUDA 12.2) runs it"),
        (build(12, 9), TABLE, "driver 535.183.01 (CUDA 12.2) runs it"),
        (build(13, 0), smi("590.10"), "driver 590.10 runs it"),  # a layout without the CUDA version
        (build(13, 0), smi("590.10").replace("Attached", "CUDA UMD Version : 13.1\nAttached"), "(CUDA 13.1) runs it"),
        (build(13, 0), smi("580.95.05", "13.0", gpus=2), "NVIDIA A10, NVIDIA A10; driver"),
    ],
)
def test_a_wheel_fits_a_driver_of_its_cuda_version_or_a_later_one(
    built: dict[str, object], said: str, found: str
) -> None:
    fit = gpu_fit.gpu_fit(built, said)
    assert fit.fits
    assert found in fit.found
    assert fit.remedy == ""


@pytest.mark.parametrize(
    ("built", "said", "found", "remedy"),
    [
        (build(cuda=False), smi("580.95.05", "13.0"), "built without CUDA", "pip install xgboost"),
        (
            build(13, 0),
            smi("535.183.01", "12.2"),
            "built for CUDA 13.0, which driver 535",
            "driver 580 or later",
        ),
        (build(13, 0), TABLE, "built for CUDA 13.0, which driver 535", "xgboost-cu12"),
        (build(13, 0), smi("575.51"), "built for CUDA 13.0, which driver 575.51 does not run", "xgboost-cu12"),
        (build(13, 0), smi("470.42", "11.4"), "(CUDA 11.4) does not run", "install driver 580 or later"),
        (build(12, 9), smi("470.42", "11.4"), "built for CUDA 12.9", "install driver 525 or later"),
        (build(14, 0), smi("580.95", "13.0"), "built for CUDA 14.0", "install a newer one, or the wheel for CUDA 12"),
        (build(13, 0), SILENT, "couldn't communicate with the NVIDIA driver", "until nvidia-smi answers"),
        (build(13, 0), MISMATCH, "Driver/library version mismatch", "until nvidia-smi answers"),
        (build(13, 0), "", "nvidia-smi is missing or does not answer", "until nvidia-smi answers"),
        (build(13, 0), smi("580.95.05", "13.0", gpus=0), "sees no GPU", "the container"),
    ],
)
def test_what_does_not_fit_is_named_with_its_remedy(
    built: dict[str, object], said: str, found: str, remedy: str
) -> None:
    fit = gpu_fit.gpu_fit(built, said)
    assert not fit.fits
    assert found in fit.found
    assert remedy in fit.remedy


def test_only_a_wheel_for_cuda_13_has_one_for_cuda_12_beside_it() -> None:
    assert "xgboost-cu12" not in gpu_fit.gpu_fit(build(12, 9), smi("470.42", "11.4")).remedy
    assert "xgboost-cu12" not in gpu_fit.gpu_fit(build(13, 0), smi("470.42", "11.4")).remedy


@pytest.mark.parametrize(
    ("said", "missing", "status", "found"),
    [
        (smi("580.95.05", "13.0"), "", "ok", "device auto takes it from 3,000,000 values"),
        (smi("580.95.05", "13.0"), "no GPU found", "warning", "but no GPU found"),
        (smi("470.42", "11.4"), "", "warning", "does not run: training uses the CPU"),
    ],
    ids=["fits", "hidden", "old"],
)
def test_doctor_says_whether_driver_and_wheel_fit(
    said: str, missing: str, status: str, found: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "nvidiactl"
    driver.touch()
    monkeypatch.setattr(doctor, "NVIDIA", driver)
    monkeypatch.setattr(gpu_fit, "nvidia_smi", lambda: said)
    monkeypatch.setattr(device, "why_no_gpu", lambda: missing)
    check = doctor.gpu(settings_.at(home))
    assert check.status == status
    assert found in check.found
    assert bool(check.remedy) is (status != "ok")


def test_a_driver_that_hangs_is_as_one_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{SILENT.strip().replace(chr(39), '')}'\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpu_fit.nvidia_smi().startswith("NVIDIA-SMI has failed")  # what it says counts, not its exit code

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr(subprocess, "run", hang)
    assert gpu_fit.nvidia_smi() == ""
