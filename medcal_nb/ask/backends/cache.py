"""Caches of keys and values whose rows can be chosen, joined and continued."""

from functools import cache


@cache
def _roomy():
    """The class of cache layers, made when transformers is first needed."""
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """Keys and values in buffers with room, so that a new token copies nothing old."""

        length, buffers = 0, ()

        def update(self, key_states, value_states, *args, **kwargs):
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            end = self.length + key_states.shape[-2]
            if not self.buffers or self.buffers[0].shape[-2] < end:
                self.hold(
                    key_states.shape[0], end + 32 * bool(self.length), key_states, value_states
                )
            for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
                buffer[..., self.length : end, :] = states
            return self.show(end)

        def hold(self, n, size, *like):
            """Make buffers of `n` rows and `size` positions; what is held is copied."""
            old, self.buffers = self.buffers, []
            for i, states in enumerate(like):
                fresh = states.new_empty((n, states.shape[1], size, states.shape[-1]))
                if old:
                    fresh[..., : self.length, :] = old[i][..., : self.length, :]
                self.buffers.append(fresh)

        def show(self, end):
            self.length = end
            self.keys, self.values = (buffer[..., :end, :] for buffer in self.buffers)
            return self.keys, self.values

    return RoomyLayer


def new_cache():
    from transformers.cache_utils import Cache

    return Cache(layer_class_to_replicate=_roomy())


def gather(parts, room):
    """Make one cache of chosen batch rows of several, ends aligned, with room for more tokens."""
    from transformers.cache_utils import Cache

    layers = zip(*(cache.layers for cache, _ in parts), strict=True)
    rows = [which for _, which in parts]
    return Cache(layers=[_gathered(list(zip(same, rows, strict=True)), room) for same in layers])


def _gathered(parts, room):
    """Copy chosen batch rows of layers into one layer; what a shorter one lacks is zero, masked."""
    import torch

    layer, first = _roomy()(), parts[0][0]
    layer.lazy_initialization(first.keys, first.values)
    end = max(other.length for other, _ in parts)
    layer.hold(sum(len(which) for _, which in parts), end + room, first.keys, first.values)
    low = 0
    for other, which in parts:
        start = end - other.length
        for buffer, states in zip(layer.buffers, (other.keys, other.values), strict=True):
            lines = buffer[low : low + len(which)]
            lines[..., :start, :] = 0
            torch.index_select(states, 0, which, out=lines[..., start:end, :])
        low += len(which)
    layer.show(end)
    return layer
