"""Caches of keys and values whose rows can be chosen, joined and continued."""

from functools import cache


@cache
def _roomy():
    """The class of cache layers, made when transformers is first needed."""
    from torch.nn.functional import pad
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """Keys and values in buffers with room, so that a new token copies nothing old."""

        length, buffers = 0, ()

        def update(self, key_states, value_states, *args, **kwargs):
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.buffers = key_states, value_states
            start, self.length = self.length, self.length + key_states.shape[-2]
            more = self.length - self.buffers[0].shape[-2]
            if more > 0:
                self.buffers = [pad(buffer, (0, 0, 0, more + 32)) for buffer in self.buffers]
            for buffer, fresh in zip(self.buffers, (key_states, value_states), strict=True):
                if buffer is not fresh:
                    buffer[..., start : self.length, :] = fresh
            self.keys, self.values = (buffer[..., : self.length, :] for buffer in self.buffers)
            return self.keys, self.values

    return RoomyLayer


def new_cache():
    """Make an empty cache."""
    from transformers.cache_utils import Cache

    return Cache(layer_class_to_replicate=_roomy())


def gather(parts, room):
    """Make one cache of chosen batch rows of several, ends aligned, with room for more tokens."""
    from transformers.cache_utils import Cache

    layers = zip(*(cache.layers for cache, _ in parts), strict=True)
    rows = [which for _, which in parts]
    return Cache(layers=[_gathered(same, rows, room) for same in layers])


def _gathered(layers, rows, room):
    """Copy chosen batch rows of layers into one layer; what a shorter one lacks is zero, masked."""
    import torch

    layer, pad = _roomy()(), torch.nn.functional.pad
    layer.lazy_initialization(layers[0].keys, layers[0].values)
    layer.length, layer.buffers = max(other.length for other in layers), []
    for name in ("keys", "values"):
        chosen = [
            pad(getattr(other, name)[which], (0, 0, layer.length - other.length, room))
            for other, which in zip(layers, rows, strict=True)
        ]
        layer.buffers.append(torch.cat(chosen) if len(chosen) > 1 else chosen[0])
        setattr(layer, name, layer.buffers[-1][..., : layer.length, :])
    return layer
