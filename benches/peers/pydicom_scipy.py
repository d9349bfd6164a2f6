"""Volume and low density of the lungs of a chest CT in a folder, with pydicom and scipy, as a script does it."""

import os
import sys

import numpy
import pydicom
from scipy import ndimage

folder = sys.argv[1]
slices = [pydicom.dcmread(os.path.join(folder, name)) for name in os.listdir(folder)]
slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
volume = numpy.stack(
    [one.pixel_array.astype(numpy.int16) * int(one.RescaleSlope) + int(one.RescaleIntercept) for one in slices]
)
labels, count = ndimage.label(volume < -400)
sizes = numpy.bincount(labels.ravel(), minlength=count + 1)
sides = (labels[:, 0, :], labels[:, -1, :], labels[:, :, 0], labels[:, :, -1])
for side in sides:
    sizes[numpy.unique(side)] = 0
sizes[0] = 0
first, second = numpy.argsort(sizes)[::-1][:2]
lungs = labels == first
if sizes[second] > 0.2 * sizes[first]:
    lungs |= labels == second
hu = volume[lungs]
spacing = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
voxel_ml = spacing * float(slices[0].PixelSpacing[0]) * float(slices[0].PixelSpacing[1]) / 1000
print(f"{hu.size * voxel_ml:.1f} mL, LAA-950 {100 * (hu < -950).mean():.2f} %")
