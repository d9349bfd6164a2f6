//! The numbers of real chests, computed anew by numpy and scipy from the images and the Segmentation object.

use std::path::PathBuf;

use super::peers::python;
use super::real;
use super::sample::deliver;
use crate::support::data::Data;
use crate::support::scripts::has;

/// Reads the results and the segmentation of a folder, and the images, all of one series.
const NUMBERS: &str = r#"
import sys, json, pathlib, numpy as np, pydicom, highdicom as hd
from scipy import ndimage, spatial, stats
folder = pathlib.Path(sys.argv[1])
results = json.loads((folder / "results.json").read_text())
images = sorted((pydicom.dcmread(name) for name in sys.argv[2:]), key=lambda image: image.ImagePositionPatient[2])
assert len({image.SeriesInstanceUID for image in images}) == 1
hu = np.stack([image.pixel_array.astype(int) * int(image.RescaleSlope) + int(image.RescaleIntercept) for image in images])
heights = [image.ImagePositionPatient[2] for image in images]
spacing = np.array([(heights[-1] - heights[0]) / (len(heights) - 1), *images[0].PixelSpacing], float)
seg = hd.seg.segread(folder / "segmentation.dcm")
labels = seg.get_pixels_by_source_instance([image.SOPInstanceUID for image in images],
    combine_segments=True, relabel=False, assert_missing_frames_are_empty=True)
names = {seg.get_segment_description(number).segment_label: number for number in seg.segment_numbers}
lungs = {side: labels == names[f"{side} lung"] for side in ["right", "left"]}

def near(what, found, expected, tolerance=1e-9):
    assert abs(found - expected) <= tolerance * max(1, abs(expected)), (what, found, expected)

def distribution(what, found, values):
    p10, p25, p50, p75, p90 = np.percentile(values, [10, 25, 50, 75, 90])
    robust = values[(values >= p10) & (values <= p90)]
    for name, expected in dict(
        mean=values.mean(), variance=values.var(), skewness=stats.skew(values), kurtosis=stats.kurtosis(values),
        median=p50, minimum=values.min(), percentile_10=p10, percentile_90=p90, maximum=values.max(),
        interquartile_range=p75 - p25, range=np.ptp(values), mean_absolute_deviation=abs(values - values.mean()).mean(),
        robust_mean_absolute_deviation=abs(robust - robust.mean()).mean(), median_absolute_deviation=abs(values - p50).mean(),
        coefficient_of_variation=values.std() / values.mean(), quartile_coefficient_of_dispersion=(p75 - p25) / (p75 + p25),
    ).items():
        near((what, name), found[name], expected, 1e-7)

def density(what, found, values):
    near((what, "voxels"), found["voxels"], len(values))
    near((what, "volume"), found["volume_ml"], len(values) * spacing.prod() / 1000)
    near((what, "mean"), found["mean_hu"], values.mean())
    near((what, "15th"), found["percentile_15_hu"], np.percentile(values, 15))
    near((what, "g/L"), found["percentile_15_g_l"], max(0, np.percentile(values, 15) + 1000))
    for below in found["below"]:
        near((what, "below"), below["percent"], 100 * (values < below["threshold_hu"]).mean())
    near((what, "high"), found["high_attenuation_percent"], 100 * ((values >= -600) & (values < -250)).mean())

def sizes_of(mask):
    clusters, count = ndimage.label(mask & (hu < -950))
    return np.bincount(clusters.ravel())[1:]

def slope_of(sizes):
    sizes = np.sort(sizes[sizes * spacing.prod() >= 5])
    different = np.unique(sizes)
    at_least = len(sizes) - np.searchsorted(sizes, different)
    return len(sizes), len(different), -np.polyfit(np.log10(different * spacing.prod()), np.log10(at_least), 1)[0]

def parts_of(mask):
    """The third of each slice, from the top, and the core."""
    counts = mask.sum((1, 2))
    middle = np.cumsum(counts[::-1]) - counts[::-1] / 2
    third = np.floor(3 * middle / counts.sum()).astype(int)[::-1]
    parts = {name: mask & (third == index)[:, None, None] for index, name in enumerate(["upper_third", "middle_third", "lower_third"])}
    factor = np.maximum(np.floor(4 / spacing + 0.5).astype(int), 1)
    some = [np.array([at for at in range(mask.shape[axis]) if at % factor[axis] % max(factor[axis] // 2, 1) == 0]) for axis in [0, 1]]
    def summed(values, axis, cells):
        return np.add.reduceat(values, np.flatnonzero(np.diff(cells, prepend=-1)), axis)
    cells = mask[some[0]][:, some[1]].astype(int)
    whole = np.ones(cells.shape, int)
    for axis, places in [(0, some[0]), (1, some[1]), (2, np.arange(mask.shape[2]))]:
        cells, whole = summed(cells, axis, places // factor[axis]), summed(whole, axis, places // factor[axis])
    core = ndimage.distance_transform_edt(2 * cells >= whole, sampling=factor * spacing) > 15
    for axis in range(3):
        core = core.repeat(factor[axis], axis).take(range(mask.shape[axis]), axis)
    return parts | {"core": mask & core, "peel": mask & ~core}

def corners_of(mask):
    """The middles between voxels inside and outside."""
    padded = np.pad(mask, 1)
    for axis in range(3):
        edges = np.argwhere(np.diff(padded, axis=axis)).astype(float) - 1
        edges[:, axis] += 0.5
        yield edges * spacing

sets = {"both": lungs["right"] | lungs["left"], **lungs}
parts = {side: parts_of(mask) for side, mask in lungs.items()}
parts["both"] = {name: parts["right"][name] | parts["left"][name] for name in parts["right"]}
clusters = {side: sizes_of(mask) for side, mask in lungs.items()}
clusters["both"] = np.concatenate([clusters["right"], clusters["left"]])
assert [region["lung"] for region in results["regions"]] == ["both", "right", "left"]
for region in results["regions"]:
    lung, values = region["lung"], hu[sets[region["lung"]]]
    density(lung, region, values)
    near((lung, "SD"), region["standard_deviation_hu"], values.std())
    near((lung, "median"), region["median_hu"], np.median(values))
    near((lung, "adjusted"), region["percentile_15_adjusted_g_l"],
        max(0, np.percentile(values, 15) + 1000) * sets["both"].sum() * spacing.prod() / 1000 / 6000)
    histogram = region["histogram"]
    edges = histogram["start_hu"] + histogram["width_hu"] * np.arange(len(histogram["voxels"]) + 1)
    assert (np.histogram(values[values < edges[-1]], edges)[0] == histogram["voxels"]).all(), lung
    count, different, slope = slope_of(clusters[lung])
    found = region["low_attenuation_clusters"]
    assert found["clusters"] == count, (lung, found, count)
    assert (found["slope"] is None) == (count < 50 or different < 10) == (found["reason"] is not None), (lung, found)
    if found["slope"] is not None:
        near((lung, "slope"), found["slope"], slope)
    assert [part["part"] for part in region["parts"]] == list(parts[lung]), lung
    for part in region["parts"]:
        density((lung, part["part"]), part, hu[parts[lung][part["part"]]])
    print(lung, found, [round(part["below"][0]["percent"], 2) for part in region["parts"]])

assert [features["lung"] for features in results["features"]] == ["right", "left"]
for features in results["features"]:
    lung, mask, shape = features["lung"], lungs[features["lung"]], features["shape"]
    values = hu[mask].astype(float)
    distribution(lung, features["intensity"]["distribution"], values)
    near((lung, "energy"), features["intensity"]["energy"], (values ** 2).sum())
    bins = np.floor((values[(values >= -1000) & (values <= 400)] + 1000) / 25) + 1
    distribution((lung, "histogram"), features["histogram"]["distribution"], bins)
    shares = np.unique(bins, return_counts=True)[1] / len(bins)
    near((lung, "entropy"), features["histogram"]["entropy"], -(shares * np.log2(shares)).sum())
    near((lung, "mode"), features["histogram"]["mode"], stats.mode(bins).mode)
    near((lung, "volume"), shape["voxel_volume_mm3"], mask.sum() * spacing.prod())
    near((lung, "mesh"), shape["mesh_volume_mm3"], mask.sum() * spacing.prod(), 0.01)
    variances = np.sort(np.linalg.eigvalsh(np.cov(np.argwhere(mask).T * spacing[:, None])))[::-1]
    for name, variance in zip(["major", "minor", "least"], variances):
        near((lung, name), shape[f"{name}_axis_mm"], 4 * np.sqrt(variance), 1e-6)
    corners = np.concatenate(list(corners_of(mask)))
    hull = corners[spatial.ConvexHull(corners).vertices]
    near((lung, "diameter"), shape["maximum_3d_diameter_mm"], spatial.distance.pdist(hull).max(), 1e-6)
    print(lung, shape)
"#;

fn check(files: &[PathBuf]) {
    if has("scipy").is_none() {
        return;
    }
    let values = real::calculate(files);
    let folder = deliver(&[values.run("write-results", "files"), values.run("write-segmentation", "files")]);
    let mut arguments = vec![folder.path().to_owned()];
    arguments.extend_from_slice(files);
    python(NUMBERS, &arguments.iter().collect::<Vec<_>>());
}

#[test]
fn scipy_finds_the_numbers_of_the_lidc_chest() {
    let Some(data) = Data::unpack("ct-chest-lidc0314") else { return };
    check(&data.files("ct-chest-lidc0314"));
}

#[test]
fn scipy_finds_the_numbers_of_the_chest_imaging_platforms_chest() {
    let Some(data) = Data::unpack("ct-chest-cip64") else { return };
    check(&data.files("ct-chest-cip64/ct-64Dicom"));
}
