"""What a processor makes of an image: its tokens in a prompt, and its tensors."""

from medcal_nb.ask.calls import Failure


class Expansion:
    """What the processor made of one image: its tokens in a prompt, and its tensors."""

    def __init__(self, backend, text, plain, ids, inputs, row):
        self.backend = backend
        self.ids = ids
        self.inputs = inputs
        self.row = row
        start = 0
        while start < min(len(plain), len(ids)) and plain[start] == ids[start]:
            start += 1
        tail = 0
        while tail < len(plain) - start and plain[-1 - tail] == ids[-1 - tail]:
            tail += 1
        self.start = start
        self.before = plain[: len(plain) - tail]
        self.middle = ids[start : len(ids) - tail]
        self.image_end = len(ids) - tail
        self.first = text

    def expand(self, text, plain, picture):
        """Put this image's tokens into the tokens of another prompt about it, or say why not."""
        if text == self.first:
            return self.ids
        backend = self.backend
        size = len(self.before)
        if backend.splices and plain[:size] == self.before:
            ids = plain[: self.start] + self.middle + plain[size:]
            if backend.splices != "checked":
                real = backend._ids(text, picture.open())
                if isinstance(real, Failure):
                    return real
                backend.splices = "checked" if real == ids else False
            if backend.splices:
                return ids
        return backend._ids(text, picture.open())


def pixels(expansions, width, lengths, backend):
    """Gather the processor's tensors of several images for one prefill."""
    import torch

    parts = {}
    for expansion, length in zip(expansions, lengths, strict=True):
        inputs, row = expansion.inputs, expansion.row
        n = inputs["input_ids"].shape[0]
        for name, value in inputs.items():
            if name in ("input_ids", "attention_mask"):
                continue
            value = torch.as_tensor(value)
            if value.shape[:2] == inputs["input_ids"].shape:
                # after the image all tokens are text, of type 0 in every such tensor
                known = value[row][inputs["attention_mask"][row].bool()][:length]
                line = torch.zeros(width, dtype=value.dtype)
                line[width - length : width - length + len(known)] = known
                parts.setdefault(name, []).append(line[None])
            elif len(value) == n:
                parts.setdefault(name, []).append(value[row : row + 1])
            else:
                counts = _rows_per_image(inputs, backend.image_token)
                low = sum(counts[:row])
                parts.setdefault(name, []).append(value[low : low + counts[row]])
    joined = {name: _stack(values) for name, values in parts.items()}
    dtype = backend.model.dtype
    return {
        name: value.to(backend.device, dtype if value.is_floating_point() else None)
        for name, value in joined.items()
    }


def _rows_per_image(inputs, image_token):
    """How many rows of the pixel tensor belong to each image, where it is one long list."""
    if "image_grid_thw" in inputs:
        return [int(grid.prod()) for grid in inputs["image_grid_thw"]]
    total = len(inputs["pixel_values"])
    tokens = (inputs["input_ids"] == image_token).sum(1).tolist()
    counts = [total * count // max(1, sum(tokens)) for count in tokens]
    if sum(counts) != total:
        raise ValueError(f"{total} image tiles cannot be told apart between {len(tokens)} images")
    return counts


def _stack(values):
    """Join along the first axis, padding the others with zeros to the largest."""
    import torch

    if len({value.shape[1:] for value in values}) == 1:
        return torch.cat(values)
    largest = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    padded = []
    for value in values:
        room = torch.zeros((value.shape[0], *largest), dtype=value.dtype)
        room[tuple(slice(0, size) for size in value.shape)] = value
        padded.append(room)
    return torch.cat(padded)
