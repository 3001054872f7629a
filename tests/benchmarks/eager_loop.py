"""The corrupted-label network as a plain eager PyTorch loop on dense one-hot inputs: seconds a step.

A program of its own, since the threads of two libraries in one process get in each other's way.
"""

import sys
import time

import torch  # pyright: ignore[reportMissingImports]

modulus, width, samples, steps = map(int, sys.argv[1:])
pairs = torch.randperm(modulus**2)[:samples]
first, second = pairs // modulus, pairs % modulus
one_hot = torch.eye(modulus)
a, b, targets = one_hot[first], one_hot[second], one_hot[(first + second) % modulus]
left, right = (torch.nn.Linear(modulus, width, bias=False) for _ in range(2))
readout = torch.nn.Linear(width, modulus, bias=False)
parameters = [*left.parameters(), *right.parameters(), *readout.parameters()]
optimiser = torch.optim.AdamW(parameters, lr=1e-2, betas=(0.9, 0.98), weight_decay=5.0)

taken = []
for _ in range(4):
    start = time.perf_counter()
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(readout((left(a) + right(b)) ** 2), targets).backward()
        optimiser.step()
    taken.append((time.perf_counter() - start) / steps)
print("seconds", min(taken))
