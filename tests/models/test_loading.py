"""Loading a checkpoint's weights: in which memory they are."""

import os

import pytest
import torch
from transformers import core_model_loading

from skbert._models.foreign import weights_read_by_this_thread
from skbert._models.loading import load_config, load_model

SETTING = "HF_DEACTIVATE_ASYNC_LOAD"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_in_memory_of_their_own_whatever_becomes_of_the_file(
    folder, dtype, monkeypatch
):
    def no_pool(*args, **kwargs):
        raise AssertionError("a thread pool")

    monkeypatch.setattr(core_model_loading, "ThreadPoolExecutor", no_pool)
    monkeypatch.delenv(SETTING, raising=False)
    model, random = load_model(folder, dtype, config=load_config(folder))
    assert not random
    assert SETTING not in os.environ
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        assert tensor.untyped_storage().resizable(), name  # not mapped from the file
        assert tensor.dtype in (dtype, torch.int64), name


@pytest.mark.parametrize("before", [None, "0", "1"])
def test_the_users_own_setting_is_put_back(before, monkeypatch):
    if before is None:
        monkeypatch.delenv(SETTING, raising=False)
    else:
        monkeypatch.setenv(SETTING, before)

    def fail_inside():
        with weights_read_by_this_thread():
            assert os.environ[SETTING] == "1"
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert os.environ.get(SETTING) == before
