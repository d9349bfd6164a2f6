"""Volume and low density of the lungs of a chest CT in a folder, with SimpleITK, as a script does it."""

import sys

import SimpleITK as sitk

reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
volume = reader.Execute()
labels = sitk.ConnectedComponent(volume < -400)
shape = sitk.LabelShapeStatisticsImageFilter()
shape.Execute(labels)
size = volume.GetSize()


def is_inside(label):
    x, y, _, width, height, _ = shape.GetBoundingBox(label)
    return x > 0 and y > 0 and x + width < size[0] and y + height < size[1]


inside = sorted(filter(is_inside, shape.GetLabels()), key=shape.GetNumberOfPixels, reverse=True)
chosen = inside[:1]
if len(inside) > 1 and shape.GetNumberOfPixels(inside[1]) > 0.2 * shape.GetNumberOfPixels(inside[0]):
    chosen = inside[:2]
lungs = sitk.ChangeLabel(labels, {label: 1 if label in chosen else 0 for label in shape.GetLabels()})
low = sitk.And(lungs == 1, volume < -950)
voxels, below = (int(sitk.GetArrayViewFromImage(one).sum()) for one in (lungs == 1, low))
spacing = volume.GetSpacing()
voxel_ml = spacing[0] * spacing[1] * spacing[2] / 1000
print(f"{voxels * voxel_ml:.1f} mL, LAA-950 {100 * below / voxels:.2f} %")
