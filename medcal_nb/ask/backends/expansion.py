"""What a processor makes of an image: its tokens in a prompt, and its tensors."""

from itertools import takewhile

from medcal_nb.ask.calls import Failure


def common(rows):
    """Length of the longest beginning that all token lists share."""
    pairs = zip(min(rows), max(rows), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


class Expansion:
    """What the processor made of one image: its tokens in a prompt, and its tensors.

    `plain` and `ids` are the tokens of the same text as the tokenizer and as the processor give
    them: the image is where they differ. `inputs` holds the tensors of several texts and images,
    of which this is the one numbered `row`.
    """

    def __init__(self, plain, ids, inputs, row, image_token):
        import torch

        self.plain, self.ids = plain, ids
        start = common([plain, ids])
        tail = common([plain[start:][::-1], ids[start:][::-1]])
        self.before, self.image_end = plain[: len(plain) - tail], len(ids) - tail
        n, mask = len(inputs["input_ids"]), inputs["attention_mask"][row].bool()
        self.per_token, self.tensors = {}, {}
        for name in inputs.keys() - {"input_ids", "attention_mask"}:
            value = torch.as_tensor(inputs[name])
            if value.shape[:2] == inputs["input_ids"].shape:
                self.per_token[name] = value[row][mask]
            elif len(value) == n:
                self.tensors[name] = value[row : row + 1]
            else:
                self.tensors[name] = value.split(_rows_per_image(inputs, image_token))[row]

    def expand(self, backend, text, plain, picture):
        """Put this image's tokens into those of another prompt about it, or say why not.

        The first time it is looked whether the processor gives the same.
        """
        if plain == self.plain:
            return self.ids
        size, spliced = len(self.before), None
        if backend.splices is not False and plain[:size] == self.before:
            spliced = self.ids[: self.image_end] + plain[size:]
            if backend.splices:
                return spliced
        ids = backend._ids(text, picture.open())
        if spliced and not isinstance(ids, Failure):
            backend.splices = ids == spliced
        return ids


def pixels(expansions, lengths, backend):
    """Gather the tensors of several images for one pass over prompts of so many tokens."""
    from torch.nn.functional import pad

    parts, width = {}, max(lengths)
    for expansion, length in zip(expansions, lengths, strict=True):
        for name, value in expansion.per_token.items():
            # after the image all tokens are text, of type 0 in every such tensor
            known = value[:length]
            line = pad(known, (width - length, length - len(known)))[None]
            parts.setdefault(name, []).append(line)
        for name, value in expansion.tensors.items():
            parts.setdefault(name, []).append(value)
    joined = {name: _stack(values) for name, values in parts.items()}
    dtype = backend.model.dtype
    return {
        name: value.to(backend.device, dtype if value.is_floating_point() else None)
        for name, value in joined.items()
    }


def _rows_per_image(inputs, image_token):
    """How many rows of the pixel tensor belong to each image, where it is one long list."""
    if "image_grid_thw" in inputs:
        return inputs["image_grid_thw"].prod(1).tolist()
    total = len(inputs["pixel_values"])
    tokens = (inputs["input_ids"] == image_token).sum(1).tolist()
    counts = [total * count // max(1, sum(tokens)) for count in tokens]
    if sum(counts) != total:
        raise ValueError(f"{total} image tiles cannot be told apart between {len(tokens)} images")
    return counts


def _stack(values):
    """Join along the first axis, padding the others with zeros to the largest."""
    import torch

    largest = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    padded = []
    for value in values:
        room = value.new_zeros((len(value), *largest))
        room[tuple(map(slice, value.shape))] = value
        padded.append(room)
    return torch.cat(padded)
