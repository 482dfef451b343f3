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

    layer = _roomy()()
    layer.lazy_initialization(layers[0].keys, layers[0].values)
    layer.length, n = max(other.length for other in layers), sum(map(len, rows))
    layer.buffers = []
    for name in ("keys", "values"):
        like = getattr(layers[0], name)
        buffer = like.new_empty((n, like.shape[1], layer.length + room, like.shape[3]))
        layer.buffers.append(buffer)
        for other, which, lines in zip(layers, rows, buffer.split([*map(len, rows)]), strict=True):
            start = layer.length - other.length
            lines[..., :start, :] = 0
            own = lines[..., start : layer.length, :]
            torch.index_select(getattr(other, name), 0, which, out=own)
        setattr(layer, name, buffer[..., : layer.length, :])
    return layer
