// SPDX-License-Identifier: LGPL-2.1-or-later
// The reference half of tests/hdr_reference.test.sh: reads OURS/log.hlog by HdrHistogram itself and writes into THEIRS
// what tests/tool_hdrwrite.c wrote into OURS. The script compares the two folders.

import java.io.File;
import java.io.PrintStream;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramIterationValue;
import org.HdrHistogram.HistogramLogReader;
import org.HdrHistogram.HistogramLogWriter;

public class HdrReference {
    static final double[] SCALES = {1, 1000, 1000000, 3.7};
    static final long START_UNIX_MS = 1700000000125L;
    static final double INTERVAL_S = 0.75;

    static void writeFacts(Histogram h, File file) throws Exception {
        try (PrintStream out = new PrintStream(file)) {
            out.printf("shape %d %d %d\n", h.getLowestDiscernibleValue(), h.getHighestTrackableValue(),
                       h.getNumberOfSignificantValueDigits());
            out.printf("total %d min %d max %d\n", h.getTotalCount(), h.getMinValue(), h.getMaxValue());
            out.printf("mean %016x stddev %016x\n", Double.doubleToRawLongBits(h.getMean()),
                       Double.doubleToRawLongBits(h.getStdDeviation()));
            for (int k = 0; k < 200; k++) {
                double p = k <= 100 ? k : 100 - (200 - k) / 1000.0;
                out.printf("p %d %d\n", k, h.getValueAtPercentile(p));
            }
            for (HistogramIterationValue v : h.recordedValues()) {
                out.printf("count %d %d\n", h.lowestEquivalentValue(v.getValueIteratedTo()),
                           v.getCountAtValueIteratedTo());
            }
        }
    }

    public static void main(String[] args) throws Exception {
        File ours = new File(args[0]);
        File theirs = new File(args[1]);
        HistogramLogReader reader = new HistogramLogReader(new File(ours, "log.hlog"));
        HistogramLogWriter writer = new HistogramLogWriter(new File(theirs, "log.hlog"));
        writer.outputComment("[Logged by the reference test]");
        writer.outputLogFormatVersion();
        writer.outputStartTime(START_UNIX_MS);
        writer.outputLegend();
        int i = 0;
        for (; reader.hasNext(); i++) {
            Histogram h = (Histogram) reader.nextIntervalHistogram();
            writeFacts(h, new File(theirs, i + ".txt"));
            try (PrintStream out = new PrintStream(new File(theirs, i + ".hgrm"))) {
                h.outputPercentileDistribution(out, 5, SCALES[i % 4]);
            }
            String tag = i % 3 == 0 ? null : "tag" + i;
            if (tag == null ? h.getTag() != null : !tag.equals(h.getTag())) {
                throw new Exception("interval " + i + " has tag " + h.getTag() + " instead of " + tag);
            }
            if (h.getStartTimeStamp() != START_UNIX_MS + Math.round(i * INTERVAL_S * 1000)) {
                throw new Exception("interval " + i + " starts at " + h.getStartTimeStamp() + " ms");
            }
            writer.outputIntervalHistogram(i * INTERVAL_S, i * INTERVAL_S + INTERVAL_S, h, SCALES[i % 4]);
        }
        System.out.println(i + " intervals read");
    }
}
